-- Returns a row when the store holds this model.
-- $1 version bigint.
-- Columns: version bigint.
SELECT version FROM models WHERE version = $1
