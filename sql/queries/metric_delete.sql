-- Deletes the declaration of a metric.
-- $1 name text.
DELETE FROM metrics
WHERE name = $1
