-- Saves a user of the feeds API (collection empty) or an entry of a collection.
-- $1 collection text, $2 id text, $3 created bigint us, $4 updated bigint us, $5 doc text (JSON).
INSERT INTO feed_objects (collection, id, created, updated, doc) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (collection, id) DO UPDATE SET updated = excluded.updated, doc = excluded.doc
