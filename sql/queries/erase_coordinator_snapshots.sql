-- Deletes all snapshots of the coordinator, which counted the erased person; a fold of the journal replaces them.
DELETE FROM coordinator_snapshots
