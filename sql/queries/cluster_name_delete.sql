-- Deletes the name of a cluster.
-- $1 clustering text, $2 cluster bigint.
DELETE FROM cluster_names WHERE clustering = $1 AND cluster = $2
