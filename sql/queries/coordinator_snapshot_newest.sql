-- The position that the newest snapshot of the coordinator covers; null without one.
-- Columns: position bigint or null.
SELECT MAX(position) AS position FROM coordinator_snapshots
