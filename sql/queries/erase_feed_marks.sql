-- Deletes the marks of a person's feeds.
-- $1 id bigint.
DELETE FROM feed_marks WHERE feed IN ('user:' || (SELECT key FROM users WHERE id = $1), 'timeline:' || (SELECT key FROM users WHERE id = $1), 'notification:' || (SELECT key FROM users WHERE id = $1))
