-- One row of `feed_objects` by its key.
-- ?1 collection text, ?2 id text.
-- Columns: collection text, id text, created bigint us, updated bigint us, doc text.
SELECT collection, id, created, updated, doc FROM feed_objects WHERE collection = ?1 AND id = ?2
