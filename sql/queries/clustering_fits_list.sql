-- The newest cluster fits of a clustering, newest first.
-- $1 clustering text, $2 limit bigint.
-- Columns: epoch bigint, fitted_at timestamptz, summary text, state bytea, members bytea.
SELECT epoch, fitted_at, summary, state, members FROM clustering_fits WHERE clustering = $1 ORDER BY epoch DESC LIMIT $2
