-- The snapshot of a person.
-- $1 user_id bigint.
-- Columns: seq bigint, checksum bigint, bytes bytes.
SELECT seq, checksum, bytes FROM snapshots WHERE user_id = $1
