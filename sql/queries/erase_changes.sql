-- Deletes the instants of the changes of an item.
-- $1 item_id bigint.
DELETE FROM changes WHERE kind <> 'centre' AND id = $1
