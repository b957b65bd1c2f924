-- Inserts centres; returns no row for an epoch that has another vector. Each (topic, epoch) at most once.
-- Arrays of one length: $1 topic_id bigint, $2 epoch bigint, $3 vector bytea (f32 each).
-- Columns: topic_id bigint, epoch bigint.
INSERT INTO centres (topic_id, epoch, vector)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])
ON CONFLICT (topic_id, epoch) DO UPDATE
SET vector = excluded.vector
WHERE centres.vector = excluded.vector
RETURNING topic_id, epoch
