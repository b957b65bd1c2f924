-- Takes the activity of an item that is being erased out of all feeds.
-- $1 id bigint.
DELETE FROM activity_entries WHERE activity = (SELECT key FROM items WHERE id = $1)
