-- The newest cluster fits, newest first.
-- $1 limit bigint.
-- Columns: epoch bigint, fitted_at timestamptz, summary text, state bytea, members bytea.
SELECT epoch, fitted_at, summary, state, members FROM cluster_fits ORDER BY epoch DESC LIMIT $1
