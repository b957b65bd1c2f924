-- Deletes all revisions of a clustering.
-- $1 name text.
DELETE FROM clusterings WHERE name = $1
