-- Inserts a cluster fit; an existing one stays.
-- $1 clustering text, $2 epoch bigint, $3 fitted_at timestamptz, $4 summary text, $5 state bytea, $6 members bytea.
INSERT INTO clustering_fits (clustering, epoch, fitted_at, summary, state, members) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (clustering, epoch) DO NOTHING
