-- Upserts snapshots of people, each person at most once. Skips a snapshot when a newer one is stored, or when a later
-- entry cancelled an entry: the snapshot may include that one.
-- Arrays of one length: $1 user_id bigint, $2 seq bigint (last entry it includes), $3 checksum bigint, $4 bytes bytea.
INSERT INTO snapshots (user_id, seq, checksum, bytes)
SELECT *
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[]) AS saved (user_id, seq, checksum, bytes)
WHERE NOT EXISTS (SELECT 1 FROM journal
                  WHERE journal.user_id = saved.user_id AND cancelled_by > saved.seq AND cancelled_by IS NOT NULL)
ON CONFLICT (user_id) DO UPDATE
SET seq = excluded.seq, checksum = excluded.checksum, bytes = excluded.bytes
WHERE snapshots.seq <= excluded.seq
