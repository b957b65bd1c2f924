-- Deletes the snapshot of a person.
-- $1 user_id bigint.
DELETE FROM snapshots WHERE user_id = $1
