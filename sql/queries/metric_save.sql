-- Upserts the declaration of a metric.
-- $1 name text, $2 declaration text.
INSERT INTO metrics (name, declaration)
VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE
SET declaration = excluded.declaration
