-- Marks of a feed.
-- $1 feed text.
-- Columns: kind bigint, group_id text, seq bigint.
SELECT kind, group_id, seq FROM feed_marks WHERE feed = $1
