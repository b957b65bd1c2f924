-- Puts an activity into a feed; one that is there keeps its number.
-- $1 feed text, $2 activity text, $3 time bigint us, $4 seq bigint, $5 direct bigint.
INSERT INTO activity_entries (feed, activity, time, seq, direct) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (feed, activity) DO UPDATE SET direct = CASE WHEN excluded.direct = 1 THEN 1 ELSE activity_entries.direct END
