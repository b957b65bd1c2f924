-- The version of the next model. The newest model is never deleted, so no version repeats.
-- Columns: version bigint.
SELECT COALESCE(MAX(version), 0) + 1 AS version FROM models
