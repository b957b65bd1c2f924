-- Forgets fits that are too old.
-- $1 epoch bigint: that of the newest to go.
DELETE FROM cluster_fits WHERE epoch <= $1
