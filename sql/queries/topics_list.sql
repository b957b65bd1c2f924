-- All topics by id.
-- Columns: id bigint, key text.
SELECT id, key FROM topics ORDER BY id
