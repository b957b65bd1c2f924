-- The nth newest entry of a feed.
-- $1 feed text, $2 skip bigint.
-- Columns: time bigint us, seq bigint.
SELECT time, seq FROM activity_entries WHERE feed = $1 ORDER BY time DESC, seq DESC LIMIT 1 OFFSET $2
