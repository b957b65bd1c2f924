-- The words of an item.
-- $1 item_id bigint.
-- Columns: words text.
SELECT words FROM item_words WHERE rowid = $1
