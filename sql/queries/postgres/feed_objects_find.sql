-- Rows of `feed_objects` by their keys.
-- $1 collection text[], $2 id text[].
-- Columns: n bigint (place in the arrays, from 1), collection text, id text, created bigint us, updated bigint us, doc text.
SELECT f.n, t.collection, t.id, t.created, t.updated, t.doc
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS f (collection, id, n)
JOIN feed_objects t ON t.collection = f.collection AND t.id = f.id
