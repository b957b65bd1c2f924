-- Turns an item of an erased author into a tombstone; returns no row when there is no such id.
-- $1 key text (random), $2 id bigint.
-- Columns: id bigint.
UPDATE items
SET key = $1, author_id = NULL, author_key = NULL, topics = '[]', text = '', attributes = NULL, deleted = TRUE
WHERE id = $2
RETURNING id
