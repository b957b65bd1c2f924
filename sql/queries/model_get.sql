-- The checkpoint of a model.
-- $1 version bigint.
-- Columns: checkpoint bytea.
SELECT checkpoint FROM models WHERE version = $1
