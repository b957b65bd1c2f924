-- Deletes an activity; one that is an item leaves a row without contents until the item is deleted, too.
-- $1 id text.
DELETE FROM activities WHERE id = $1
