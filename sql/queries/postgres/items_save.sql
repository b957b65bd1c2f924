-- Upserts items in their current revision; returns no row for an id that has another key. Each id at most once.
-- Arrays of one length: $1 id bigint, $2 key text, $3 revision bigint, $4 author_id bigint, $5 author_key text,
-- $6 topics text (JSON array of ids, the main one first), $7 text text, $8 created timestamptz, $9 deleted boolean,
-- $10 attributes text (JSON object).
-- Columns: id bigint.
INSERT INTO items (id, key, revision, author_id, author_key, topics, text, created, deleted, attributes)
SELECT *
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],
            $8::timestamptz[], $9::boolean[], $10::text[])
ON CONFLICT (id) DO UPDATE
SET revision = excluded.revision, author_id = excluded.author_id, author_key = excluded.author_key,
    topics = excluded.topics, text = excluded.text, created = excluded.created, deleted = excluded.deleted,
    attributes = excluded.attributes
WHERE items.key = excluded.key
RETURNING id
