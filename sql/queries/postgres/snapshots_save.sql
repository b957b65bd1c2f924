-- Upserts snapshots of people, unless newer ones are stored. Each person at most once.
-- Arrays of one length: $1 user_id bigint, $2 seq bigint (last entry it includes), $3 checksum bigint, $4 bytes bytea.
INSERT INTO snapshots (user_id, seq, checksum, bytes)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[])
ON CONFLICT (user_id) DO UPDATE
SET seq = excluded.seq, checksum = excluded.checksum, bytes = excluded.bytes
WHERE snapshots.seq <= excluded.seq
