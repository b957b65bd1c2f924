-- Upserts the instants of changes in the catalogue. Each change at most once.
-- Arrays of one length: $1 kind text, $2 id bigint, $3 number bigint, $4 since timestamptz.
INSERT INTO changes (kind, id, number, since)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[])
ON CONFLICT (kind, id, number) DO UPDATE
SET since = excluded.since
