-- Items whose words match, best first: of the newest matches, by ts_rank with the logarithm of the text's length.
-- $1 query text (a tsquery).
-- Conditions: $2 author_id bigint or null, $3 topic_id bigint or null, $4 available_at timestamptz or null.
-- $5 ranked bigint (the number of newest matches that are ranked).
-- A page: $6 limit bigint, $7 skip bigint.
-- Columns: id bigint, score double precision.
SELECT id, score
FROM (
    SELECT item_words.item_id AS id, ts_rank(item_words.words, $1::text::tsquery, 1)::double precision AS score
    FROM item_words
    WHERE item_words.words @@ $1::text::tsquery
      AND ($2::bigint IS NULL
           OR EXISTS (SELECT 1 FROM items WHERE items.id = item_words.item_id AND items.author_id = $2))
      AND ($3::bigint IS NULL
           OR EXISTS (SELECT 1 FROM items
                      WHERE items.id = item_words.item_id AND items.topics::jsonb @> to_jsonb($3)))
      AND ($4::timestamptz IS NULL
           OR NOT EXISTS (SELECT 1 FROM windows WHERE windows.item_id = item_words.item_id)
           OR EXISTS (SELECT 1 FROM windows
                      WHERE windows.item_id = item_words.item_id AND windows.start <= $4
                        AND (windows.stop IS NULL OR windows.stop > $4)))
    ORDER BY item_words.item_id DESC
    LIMIT $5
) AS newest
ORDER BY score DESC, id DESC
LIMIT $6 OFFSET $7
