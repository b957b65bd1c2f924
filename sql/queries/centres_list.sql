-- All centres in all epochs, by topic and epoch.
-- Columns: topic_id bigint, epoch bigint, vector bytes (f32 each).
SELECT topic_id, epoch, vector FROM centres ORDER BY topic_id, epoch
