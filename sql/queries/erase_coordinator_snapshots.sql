-- Forgets what was counted over everybody: it is counted anew from the journal.
DELETE FROM coordinator_snapshots
