-- All people by id.
-- Columns: id bigint, key text, name text or null, attributes text or null, created instant.
SELECT id, key, name, attributes, created FROM users ORDER BY id
