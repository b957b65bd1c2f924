-- Visible entries of a followed feed between two places, newest first.
-- ?1 feed text, ?2 lower_time, ?3 lower_seq, ?4 from_seq, ?5 until_time, ?6 until_seq bigint, ?7 time bigint us, ?8 seq bigint,
-- ?9 time bigint us, ?10 seq bigint (the oldest place), ?11 limit bigint.
-- Columns: time bigint us, seq bigint, activity text.
SELECT time, seq, activity FROM activity_entries
WHERE feed = ?1 AND time <= ?5 AND (time, seq) <= (?7, ?8) AND (time, seq) >= (?9, ?10) AND seq <= ?6
    AND (time > ?2 OR (time = ?2 AND seq >= ?3) OR seq > ?4)
ORDER BY time DESC, seq DESC LIMIT ?11
