-- Bytes per table, with its indexes.
-- Columns: name text, size_bytes bigint.
SELECT tables.relname::text AS name, pg_total_relation_size(tables.oid)::bigint AS size_bytes
FROM pg_class AS tables
WHERE tables.relnamespace = current_schema()::regnamespace AND tables.relkind IN ('r', 'p')
ORDER BY tables.relname
