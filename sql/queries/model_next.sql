-- The number that the next model gets. The newest one is never forgotten, so no number comes twice.
-- Columns: version bigint.
SELECT COALESCE(MAX(version), 0) + 1 AS version FROM models
