-- Deletes all but the newest two snapshots of the coordinator.
DELETE FROM coordinator_snapshots
WHERE position < (SELECT position FROM coordinator_snapshots ORDER BY position DESC LIMIT 1 OFFSET 1)
