-- The columns of a table on the search path, in order; none when there is no such table.
-- $1 text: name of the table.
-- Columns: attname text.
SELECT attname::text
FROM pg_catalog.pg_attribute
WHERE attrelid = to_regclass(quote_ident($1)) AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
