-- Upserts people; returns no row for an id that has another key. Each id at most once.
-- Arrays of one length: $1 id bigint, $2 key text, $3 partition bigint, $4 name text, $5 attributes text (JSON),
-- $6 created timestamptz.
-- Columns: id bigint.
INSERT INTO users (id, key, partition, name, attributes, created)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[])
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, attributes = excluded.attributes, created = excluded.created
WHERE users.key = excluded.key
RETURNING id
