-- Snapshots of the coordinator, newest first.
-- Columns: position bigint, checksum bigint, bytes bytes.
SELECT position, checksum, bytes FROM coordinator_snapshots ORDER BY position DESC
