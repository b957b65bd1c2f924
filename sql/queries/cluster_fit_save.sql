-- Inserts a cluster fit; an existing one stays.
-- $1 epoch bigint, $2 fitted_at timestamptz, $3 summary text, $4 state bytea, $5 members bytea.
INSERT INTO cluster_fits (epoch, fitted_at, summary, state, members) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (epoch) DO NOTHING
