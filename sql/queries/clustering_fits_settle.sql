-- Deletes the memberships of all earlier cluster fits of a clustering.
-- $1 clustering text, $2 epoch bigint.
UPDATE clustering_fits SET members = NULL WHERE clustering = $1 AND epoch < $2 AND members IS NOT NULL
