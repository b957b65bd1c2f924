-- Deletes old cluster fits of a clustering.
-- $1 clustering text, $2 epoch bigint: epoch of the newest fit to delete.
DELETE FROM clustering_fits WHERE clustering = $1 AND epoch <= $2
