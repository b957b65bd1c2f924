-- One row of `activity_entries` by its key.
-- ?1 feed text, ?2 activity text.
-- Columns: time bigint us, seq bigint, direct bigint.
SELECT time, seq, direct FROM activity_entries WHERE feed = ?1 AND activity = ?2
