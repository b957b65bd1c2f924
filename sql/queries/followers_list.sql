-- The followers of a person, by id.
-- $1 target bigint.
-- Columns: source bigint.
SELECT source FROM follows WHERE target = $1 ORDER BY source
