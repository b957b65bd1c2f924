-- Visible entries of each followed feed between two places, newest first in each feed.
-- $1 feed text[], $2 lower_time, $3 lower_seq, $4 from_seq, $5 until_time, $6 until_seq bigint[], $7 time bigint us, $8 seq bigint,
-- $9 time bigint us, $10 seq bigint (the oldest place), $11 limit bigint.
-- Columns: n bigint (place in the arrays, from 1), time bigint us, seq bigint, activity text.
SELECT f.n, e.time, e.seq, e.activity
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) WITH ORDINALITY
    AS f (feed, lower_time, lower_seq, from_seq, until_time, until_seq, n)
CROSS JOIN LATERAL (
    SELECT time, seq, activity FROM activity_entries
    WHERE feed = f.feed AND time <= f.until_time AND (time, seq) <= ($7, $8) AND (time, seq) >= ($9, $10)
        AND seq <= f.until_seq AND (time > f.lower_time OR (time = f.lower_time AND seq >= f.lower_seq) OR seq > f.from_seq)
    ORDER BY time DESC, seq DESC LIMIT $11
) e
