-- Rows of `activity_entries` by their keys.
-- $1 feed text[], $2 activity text[].
-- Columns: n bigint (place in the arrays, from 1), time bigint us, seq bigint, direct bigint.
SELECT f.n, t.time, t.seq, t.direct
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS f (feed, activity, n)
JOIN activity_entries t ON t.feed = f.feed AND t.activity = f.activity
