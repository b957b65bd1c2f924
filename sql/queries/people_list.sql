-- All people by id, and what is left of those who were erased.
-- Columns: id bigint, key text, name text or null, attributes text or null, created instant, erased boolean.
SELECT id, key, name, attributes, created, erased FROM users ORDER BY id
