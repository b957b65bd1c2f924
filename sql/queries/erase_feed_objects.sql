-- Deletes a person as a user of the feeds API.
-- $1 id bigint.
DELETE FROM feed_objects WHERE collection = '' AND id = (SELECT key FROM users WHERE id = $1)
