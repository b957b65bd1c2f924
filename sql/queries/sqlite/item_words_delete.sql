-- Deletes the words of an item.
-- $1 item_id bigint.
DELETE FROM item_words WHERE rowid = $1
