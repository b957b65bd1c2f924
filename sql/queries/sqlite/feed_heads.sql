-- The time of the newest visible entry of a followed feed, up to a place.
-- ?1 feed text, ?2 lower_time, ?3 lower_seq, ?4 from_seq, ?5 until_time, ?6 until_seq bigint, ?7 time bigint us, ?8 seq bigint.
-- Columns: time bigint us.
SELECT time FROM activity_entries
WHERE feed = ?1 AND time <= ?5 AND (time, seq) <= (?7, ?8) AND seq <= ?6
    AND (time > ?2 OR (time = ?2 AND seq >= ?3) OR seq > ?4)
ORDER BY time DESC, seq DESC LIMIT 1
