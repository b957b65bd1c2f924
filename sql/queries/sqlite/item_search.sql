-- Items whose words match, best first: of the newest matches, by bm25.
-- $1 match text (an FTS5 expression).
-- Conditions: $2 author_id bigint or null, $3 topic_id bigint or null, $4 available_at instant or null.
-- $5 ranked bigint (the number of newest matches that are ranked).
-- A page: $6 limit bigint, $7 skip bigint.
-- Columns: id bigint, score double.
SELECT id, score
FROM (
    SELECT item_words.rowid AS id, -item_words.rank AS score
    FROM item_words
    WHERE item_words MATCH $1
      AND ($2 IS NULL OR EXISTS (SELECT 1 FROM items WHERE items.id = item_words.rowid AND items.author_id = $2))
      AND ($3 IS NULL
           OR EXISTS (SELECT 1 FROM items, json_each(items.topics)
                      WHERE items.id = item_words.rowid AND json_each.value = $3))
      AND ($4 IS NULL
           OR NOT EXISTS (SELECT 1 FROM windows WHERE windows.item_id = item_words.rowid)
           OR EXISTS (SELECT 1 FROM windows
                      WHERE windows.item_id = item_words.rowid AND windows.start <= $4
                        AND (windows.stop IS NULL OR windows.stop > $4)))
    ORDER BY item_words.rowid DESC
    LIMIT $5
)
ORDER BY score DESC, id DESC
LIMIT $6 OFFSET $7
