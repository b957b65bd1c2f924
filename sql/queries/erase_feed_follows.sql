-- Deletes the follows of a person's feeds, in both directions.
-- $1 id bigint.
DELETE FROM feed_follows WHERE source IN ('user:' || (SELECT key FROM users WHERE id = $1), 'timeline:' || (SELECT key FROM users WHERE id = $1), 'notification:' || (SELECT key FROM users WHERE id = $1)) OR target = 'user:' || (SELECT key FROM users WHERE id = $1)
