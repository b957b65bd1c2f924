-- Upserts the snapshot of a person, unless a newer one is stored.
-- $1 user_id bigint, $2 seq bigint (last entry it includes), $3 checksum bigint, $4 bytes bytes.
INSERT INTO snapshots (user_id, seq, checksum, bytes)
VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id) DO UPDATE
SET seq = excluded.seq, checksum = excluded.checksum, bytes = excluded.bytes
WHERE snapshots.seq <= excluded.seq
