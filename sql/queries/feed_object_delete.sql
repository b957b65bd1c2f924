-- Deletes a user of the feeds API (collection empty) or an entry of a collection.
-- $1 collection text, $2 id text.
DELETE FROM feed_objects WHERE collection = $1 AND id = $2
