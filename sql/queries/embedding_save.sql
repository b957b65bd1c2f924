-- Inserts the embedding of an item in one revision; returns no row when that revision has another one.
-- $1 item_id bigint, $2 revision bigint, $3 bytes bytes (f32 each).
-- Columns: revision bigint.
INSERT INTO embeddings (item_id, revision, bytes)
VALUES ($1, $2, $3)
ON CONFLICT (item_id, revision) DO UPDATE
SET bytes = excluded.bytes
WHERE embeddings.bytes = excluded.bytes
RETURNING revision
