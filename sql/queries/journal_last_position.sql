-- The position of the last entry of all; null without one.
-- Columns: position bigint or null.
SELECT MAX(position) AS position FROM journal
