-- Deletes old revisions of a clustering.
-- $1 name text, $2 revision bigint: number of the newest revision to delete.
DELETE FROM clusterings WHERE name = $1 AND revision <= $2
