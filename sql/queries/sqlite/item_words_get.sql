-- The words of an item, from the table below the index, which saves a cursor of FTS5.
-- $1 item_id bigint.
-- Columns: words text.
SELECT c0 FROM item_words_content WHERE id = $1
