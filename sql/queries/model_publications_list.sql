-- Which model served from when on, in order.
-- Columns: version bigint, at timestamptz.
SELECT version, at FROM model_publications ORDER BY number
