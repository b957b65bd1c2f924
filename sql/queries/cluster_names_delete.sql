-- Deletes all names of clusters of a clustering.
-- $1 clustering text.
DELETE FROM cluster_names WHERE clustering = $1
