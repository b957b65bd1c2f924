-- Is there such a model?
-- $1 version bigint.
-- Columns: version bigint.
SELECT version FROM models WHERE version = $1
