-- All names of clusters, by clustering and by cluster.
-- Columns: clustering text, cluster bigint, name text.
SELECT clustering, cluster, name FROM cluster_names ORDER BY clustering, cluster
