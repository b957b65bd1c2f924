-- Turns an erased person into a tombstone; returns no row when there is no such id.
-- $1 key text (random), $2 partition bigint, $3 created instant (of the erasure), $4 id bigint.
-- Columns: id bigint.
UPDATE users
SET key = $1, partition = $2, name = NULL, attributes = NULL, created = $3, erased = TRUE
WHERE id = $4
RETURNING id
