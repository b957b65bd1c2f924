-- All people by id, with the tombstones of erased ones.
-- Columns: id bigint, key text, name text or null, attributes text or null, created instant, erased boolean.
SELECT id, key, name, attributes, created, erased FROM users ORDER BY id
