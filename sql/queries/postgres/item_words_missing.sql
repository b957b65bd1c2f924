-- Items after an id that have no words yet, by id: a store of a program without the index.
-- $1 after bigint, $2 limit bigint.
-- Columns: id bigint, text text.
SELECT items.id, items.text
FROM items
WHERE items.id > $1 AND NOT items.deleted
  AND NOT EXISTS (SELECT 1 FROM item_words WHERE item_words.item_id = items.id)
ORDER BY items.id
LIMIT $2
