-- Inserts embeddings; returns no row for a revision that has another one. Each (item, revision) at most once.
-- Arrays of one length: $1 item_id bigint, $2 revision bigint, $3 bytes bytea (f32 each).
-- Columns: item_id bigint, revision bigint.
INSERT INTO embeddings (item_id, revision, bytes)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])
ON CONFLICT (item_id, revision) DO UPDATE
SET bytes = excluded.bytes
WHERE embeddings.bytes = excluded.bytes
RETURNING item_id, revision
