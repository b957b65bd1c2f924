-- Deletes the memberships of all cluster fits after an erasure, since one column holds those of all people.
UPDATE clustering_fits SET members = NULL WHERE members IS NOT NULL
