-- Deletes all cluster fits of a clustering.
-- $1 clustering text.
DELETE FROM clustering_fits WHERE clustering = $1
