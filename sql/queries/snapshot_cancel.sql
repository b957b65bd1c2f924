-- Deletes the snapshot of a person if it includes an entry that is cancelled now.
-- $1 user_id bigint, $2 seq bigint (of the first such entry).
DELETE FROM snapshots WHERE user_id = $1 AND seq >= $2
