-- The position of the last entry of the journal; null in an empty one.
-- Columns: position bigint or null.
SELECT MAX(position) AS position FROM journal
