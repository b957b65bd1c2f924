-- The people whom a person follows, by id.
-- $1 source bigint.
-- Columns: target bigint.
SELECT target FROM follows WHERE source = $1 ORDER BY target
