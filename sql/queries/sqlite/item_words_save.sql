-- Sets the words of an item.
-- $1 item_id bigint, $2 words text (separated by spaces).
INSERT OR REPLACE INTO item_words (rowid, words) VALUES ($1, $2)
