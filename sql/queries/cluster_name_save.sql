-- Upserts the name of a cluster.
-- $1 clustering text, $2 cluster bigint, $3 name text.
INSERT INTO cluster_names (clustering, cluster, name)
VALUES ($1, $2, $3)
ON CONFLICT (clustering, cluster) DO UPDATE
SET name = excluded.name
