-- Somebody follows somebody; following twice keeps the first instant.
-- Arrays of one length: $1 source bigint, $2 target bigint, $3 since timestamptz.
INSERT INTO follows (source, target, since)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[])
ON CONFLICT DO NOTHING
