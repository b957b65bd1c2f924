-- Inserts a centre; returns no row when that epoch has another vector.
-- $1 topic_id bigint, $2 epoch bigint, $3 vector bytes (f32 each).
-- Columns: epoch bigint.
INSERT INTO centres (topic_id, epoch, vector)
VALUES ($1, $2, $3)
ON CONFLICT (topic_id, epoch) DO UPDATE
SET vector = excluded.vector
WHERE centres.vector = excluded.vector
RETURNING epoch
