-- Adds the words of items that have none.
-- Arrays of one length: $1 item_id bigint, $2 words text (a tsvector each).
INSERT INTO item_words (item_id, words)
SELECT id, words::tsvector
FROM unnest($1::bigint[], $2::text[]) AS given (id, words)
ON CONFLICT (item_id) DO NOTHING
