-- Deletes all windows of these items.
-- Array: $1 item_id bigint.
DELETE FROM windows WHERE item_id = ANY ($1::bigint[])
