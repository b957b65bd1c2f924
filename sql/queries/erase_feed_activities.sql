-- Deletes the activities that were written to a person's feed of posts.
-- $1 id bigint.
DELETE FROM activities WHERE id IN (SELECT activity FROM activity_entries WHERE direct = 1 AND feed = 'user:' || (SELECT key FROM users WHERE id = $1))
