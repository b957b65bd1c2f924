-- Rows of `feed_follows` by their keys.
-- $1 source text[], $2 target text[].
-- Columns: n bigint (place in the arrays, from 1), source text, target text, created, updated, from_seq, until_seq, mirrored bigint.
SELECT f.n, t.source, t.target, t.created, t.updated, t.from_seq, t.until_seq, t.mirrored
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS f (source, target, n)
JOIN feed_follows t ON t.source = f.source AND t.target = f.target
