-- Items whose words match, newest first. The program reads as many as it ranks: bm25 of FTS5 would read all matches.
-- $1 match text (an FTS5 expression).
-- Columns: id bigint.
SELECT rowid FROM item_words WHERE item_words MATCH $1 ORDER BY rowid DESC
