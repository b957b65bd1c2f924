-- Deletes all windows of an item.
-- $1 item_id bigint.
DELETE FROM windows WHERE item_id = $1
