-- Forgets when an item changed.
-- $1 item_id bigint.
DELETE FROM changes WHERE kind <> 'centre' AND id = $1
