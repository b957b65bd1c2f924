-- Deletes old cluster fits.
-- $1 epoch bigint: epoch of the newest fit to delete.
DELETE FROM cluster_fits WHERE epoch <= $1
