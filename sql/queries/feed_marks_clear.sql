-- Deletes marks of single groups of a feed, which a mark of all groups has replaced.
-- $1 feed text, $2 kind bigint, $3 seq bigint.
DELETE FROM feed_marks WHERE feed = $1 AND kind = $2 AND group_id <> '' AND seq <= $3
