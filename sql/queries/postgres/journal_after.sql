-- How many entries stand after a position, and where.
-- $1 position bigint.
-- Columns: entries bigint, first bigint, last bigint; the latter two null without any.
SELECT COUNT(*) AS entries, MIN(position) AS first, MAX(position) AS last FROM journal WHERE position > $1
