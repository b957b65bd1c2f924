-- All models, oldest first, without what they consist of.
-- Columns: version bigint, created timestamptz, summary text, bytes integer.
SELECT version, created, summary, length(checkpoint) AS bytes FROM models ORDER BY version
