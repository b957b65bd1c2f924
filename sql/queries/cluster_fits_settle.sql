-- Deletes the memberships of all earlier cluster fits.
-- $1 epoch bigint.
UPDATE cluster_fits SET members = NULL WHERE epoch < $1 AND members IS NOT NULL
