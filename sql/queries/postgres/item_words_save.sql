-- Upserts the words of items; leaves equal ones as they are. Each id at most once.
-- Arrays of one length: $1 item_id bigint, $2 words text (a tsvector each).
INSERT INTO item_words (item_id, words)
SELECT id, words::tsvector
FROM unnest($1::bigint[], $2::text[]) AS given (id, words)
ON CONFLICT (item_id) DO UPDATE
SET words = excluded.words
WHERE item_words.words <> excluded.words
