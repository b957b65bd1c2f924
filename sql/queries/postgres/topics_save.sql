-- Inserts topics; returns no row for an id that has another key. Each id at most once.
-- Arrays of one length: $1 id bigint, $2 key text.
-- Columns: id bigint.
INSERT INTO topics (id, key)
SELECT * FROM unnest($1::bigint[], $2::text[])
ON CONFLICT (id) DO UPDATE
SET key = excluded.key
WHERE topics.key = excluded.key
RETURNING id
