-- Deletes the activity of an item that is being erased.
-- $1 id bigint.
DELETE FROM activities WHERE id = (SELECT key FROM items WHERE id = $1)
