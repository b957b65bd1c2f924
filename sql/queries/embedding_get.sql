-- The embedding of an item in one revision.
-- $1 item_id bigint, $2 revision bigint.
-- Columns: bytes bytes (f32 each).
SELECT bytes FROM embeddings WHERE item_id = $1 AND revision = $2
