-- The position that the coordinator's newest snapshot covers; null without one.
-- Columns: position bigint or null.
SELECT MAX(position) AS position FROM coordinator_snapshots
