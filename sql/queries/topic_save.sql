-- Inserts a topic; returns no row when that id has another key.
-- $1 id bigint, $2 key text.
-- Columns: id bigint.
INSERT INTO topics (id, key)
VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE
SET key = excluded.key
WHERE topics.key = excluded.key
RETURNING id
