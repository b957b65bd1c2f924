-- Items whose words match, best first: of the newest matches, by ts_rank with the logarithm of the text's length.
-- $1 query text (a tsquery).
-- Conditions: $2 only bytea or null: one bit per item id, the lowest bit of the first byte for id 0; ids beyond its end do not
-- match. $3 item_ids bigint[] or null.
-- $4 ranked bigint (the number of newest matches that are ranked).
-- A page: $5 limit bigint, $6 skip bigint.
-- Columns: id bigint, score double precision.
SELECT id, score
FROM (
    SELECT item_words.item_id AS id, ts_rank(item_words.words, $1::text::tsquery, 1)::double precision AS score
    FROM item_words
    WHERE item_words.words @@ $1::text::tsquery
      AND CASE WHEN $2::bytea IS NULL THEN true
               WHEN item_words.item_id < 8 * length($2::bytea)
               THEN get_bit($2::bytea, item_words.item_id::integer) = 1
               ELSE false
          END
      AND ($3::bigint[] IS NULL OR item_words.item_id = ANY($3::bigint[]))
    ORDER BY item_words.item_id DESC
    LIMIT $4
) AS newest
ORDER BY score DESC, id DESC
LIMIT $5 OFFSET $6
