-- Inserts a signing key; returns no row when its id is taken.
-- $1 kid text, $2 secret bytes, $3 created bigint ms.
-- Columns: kid text.
INSERT INTO keys (kid, secret, created) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING
RETURNING kid
