-- What a model consists of.
-- $1 version bigint.
-- Columns: checkpoint bytea.
SELECT checkpoint FROM models WHERE version = $1
