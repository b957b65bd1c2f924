-- Deletes the memberships of all cluster fits after an erasure, since one column holds those of all people.
UPDATE cluster_fits SET members = NULL WHERE members IS NOT NULL
