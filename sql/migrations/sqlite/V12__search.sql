-- The text index of the catalogue. words: folded words of an item that is not deleted, in order, separated by spaces, where
-- the tokenizer `ascii` parts them. rowid: the item's id. The program fills it when it opens a store.
CREATE VIRTUAL TABLE item_words USING fts5 (words, tokenize = 'ascii', prefix = '2 3');

-- Words of a deleted item leave the index at once; otherwise they stay until a merge.
INSERT INTO item_words (item_words, rank) VALUES ('secure-delete', 1);
