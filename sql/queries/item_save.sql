-- Upserts an item in its current revision; returns no row when that id has another key.
-- $1 id bigint, $2 key text, $3 revision bigint, $4 author_id bigint or null, $5 author_key text or null,
-- $6 topics text (JSON array of ids, the main one first), $7 text text, $8 created instant, $9 deleted boolean,
-- $10 attributes text (JSON object) or null.
-- Columns: id bigint.
INSERT INTO items (id, key, revision, author_id, author_key, topics, text, created, deleted, attributes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (id) DO UPDATE
SET revision = excluded.revision, author_id = excluded.author_id, author_key = excluded.author_key,
    topics = excluded.topics, text = excluded.text, created = excluded.created, deleted = excluded.deleted,
    attributes = excluded.attributes
WHERE items.key = excluded.key
RETURNING id
