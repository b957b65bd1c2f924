-- Marks a group of a feed (group empty: all groups) as seen or read up to a number.
-- $1 feed text, $2 kind bigint (0 seen, 1 read), $3 group_id text, $4 seq bigint.
INSERT INTO feed_marks (feed, kind, group_id, seq) VALUES ($1, $2, $3, $4)
ON CONFLICT (feed, kind, group_id) DO UPDATE SET seq = excluded.seq
