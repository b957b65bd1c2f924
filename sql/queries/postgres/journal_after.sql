-- The number of entries after a position, with their first and last positions.
-- $1 position bigint.
-- Columns: entries bigint, first bigint, last bigint; the latter two null without any.
SELECT COUNT(*) AS entries, MIN(position) AS first, MAX(position) AS last FROM journal WHERE position > $1
