-- Inserts edges of the follow graph, none to an erased person; a second insert keeps the first instant.
-- Arrays of one length: $1 source bigint, $2 target bigint, $3 since timestamptz.
INSERT INTO follows (source, target, since)
SELECT begun.* FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) AS begun (source, target, since)
WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.id = begun.target AND users.erased)
ON CONFLICT DO NOTHING
