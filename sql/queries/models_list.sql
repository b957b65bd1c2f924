-- All models, oldest first, with the size of their checkpoints.
-- Columns: version bigint, created timestamptz, summary text, bytes integer.
SELECT version, created, summary, length(checkpoint) AS bytes FROM models ORDER BY version
