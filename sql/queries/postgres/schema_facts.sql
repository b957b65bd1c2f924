-- All tables, indexes and columns of the schema that new tables go to.
-- Columns: fact text (a table or index as kind and name, a column as table and name).
SELECT c.relkind::text || ' ' || c.relname::text AS fact
FROM pg_class c
WHERE c.relnamespace = to_regnamespace(current_schema()) AND c.relkind IN ('r', 'i')
UNION ALL
SELECT 'column ' || c.relname::text || '.' || a.attname::text
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = to_regnamespace(current_schema()) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
