-- The largest number of an entry of a feed.
-- Columns: seq bigint or null.
SELECT MAX(seq) AS seq FROM activity_entries
