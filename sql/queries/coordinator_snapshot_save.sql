-- Upserts a snapshot of the coordinator.
-- $1 position bigint (last entry it includes), $2 checksum bigint, $3 bytes bytes.
INSERT INTO coordinator_snapshots (position, checksum, bytes)
VALUES ($1, $2, $3)
ON CONFLICT (position) DO UPDATE
SET checksum = excluded.checksum, bytes = excluded.bytes
