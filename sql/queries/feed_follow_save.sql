-- Saves a follow between feeds with the bounds of what it shows.
-- $1 source text, $2 target text, $3 from_seq bigint, $4 lower_time bigint us, $5 lower_seq bigint, $6 created bigint us,
-- $7 mirrored bigint.
INSERT INTO feed_follows
    (source, target, from_seq, lower_time, lower_seq, until_time, until_seq, created, updated, mirrored)
VALUES ($1, $2, $3, $4, $5, 9223372036854775807, 9223372036854775807, $6, $6, $7)
ON CONFLICT (source, target, from_seq) DO NOTHING
