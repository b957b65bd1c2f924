-- All metrics that were declared at run time, by name.
-- Columns: name text, declaration text.
SELECT name, declaration FROM metrics ORDER BY name
