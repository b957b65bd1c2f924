-- Feeds that hold an activity.
-- $1 activity text.
-- Columns: feed text, time bigint us, seq bigint, direct bigint.
SELECT feed, time, seq, direct FROM activity_entries WHERE activity = $1 ORDER BY feed
