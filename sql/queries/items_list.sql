-- All items by id, each with the embedding of its current revision; deleted ones too.
-- Columns: id bigint, key text, revision bigint, author_id bigint or null, author_key text or null, topics text (JSON),
-- text text, created instant, deleted boolean, bytes bytes (f32 each) or null,
-- attributes text (JSON object) or null.
SELECT items.id, items.key, items.revision, items.author_id, items.author_key, items.topics, items.text, items.created,
       items.deleted, embeddings.bytes, items.attributes
FROM items
LEFT JOIN embeddings ON embeddings.item_id = items.id AND embeddings.revision = items.revision
ORDER BY items.id
