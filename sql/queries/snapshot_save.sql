-- Upserts the snapshot of a person, unless a newer one is stored, or a later entry cancelled an entry: the snapshot may
-- include that one.
-- $1 user_id bigint, $2 seq bigint (last entry it includes), $3 checksum bigint, $4 bytes bytes.
INSERT INTO snapshots (user_id, seq, checksum, bytes)
SELECT $1, $2, $3, $4
WHERE NOT EXISTS (SELECT 1 FROM journal WHERE user_id = $1 AND cancelled_by > $2 AND cancelled_by IS NOT NULL)
ON CONFLICT (user_id) DO UPDATE
SET seq = excluded.seq, checksum = excluded.checksum, bytes = excluded.bytes
WHERE snapshots.seq <= excluded.seq
