-- Upserts a person; returns no row when that id has another key.
-- $1 id bigint, $2 key text, $3 partition bigint, $4 name text or null, $5 attributes text (JSON) or null, $6 created instant.
-- Columns: id bigint.
INSERT INTO users (id, key, partition, name, attributes, created)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, attributes = excluded.attributes, created = excluded.created
WHERE users.key = excluded.key
RETURNING id
