-- The text index of the catalogue. words: folded words of an item that is not deleted, with their positions. The program
-- folds them and fills the table when it opens a store, so no text search configuration takes part.
CREATE TABLE item_words (
    item_id bigint   PRIMARY KEY REFERENCES items (id) ON DELETE CASCADE,
    words   tsvector NOT NULL
);

-- A search reads the whole list of pending entries, so it stays short.
CREATE INDEX item_words_by_word ON item_words USING gin (words) WITH (gin_pending_list_limit = 256);
