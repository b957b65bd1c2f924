-- The history of publications, in order; the last model serves.
-- Columns: version bigint, at timestamptz.
SELECT version, at FROM model_publications ORDER BY number
