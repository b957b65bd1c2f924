-- Activities of a feed with a foreign id.
-- $1 feed text, $2 foreign_id text.
-- Columns: activity text, direct bigint.
SELECT e.activity, e.direct FROM activities a JOIN activity_entries e ON e.activity = a.id
WHERE e.feed = $1 AND a.foreign_id = $2
