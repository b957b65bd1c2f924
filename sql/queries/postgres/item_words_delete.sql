-- Deletes the words of items.
-- $1 item_ids bigint[].
DELETE FROM item_words WHERE item_id = ANY($1)
