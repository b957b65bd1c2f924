-- Takes the activities of a person's feed of posts out of all feeds, and all activities out of the person's own feeds.
-- $1 id bigint.
DELETE FROM activity_entries
WHERE activity IN (SELECT activity FROM activity_entries WHERE direct = 1 AND feed = 'user:' || (SELECT key FROM users WHERE id = $1))
    OR feed IN ('user:' || (SELECT key FROM users WHERE id = $1), 'timeline:' || (SELECT key FROM users WHERE id = $1), 'notification:' || (SELECT key FROM users WHERE id = $1))
