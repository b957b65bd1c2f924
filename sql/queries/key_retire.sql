-- Retires a key and deletes its secret; returns no row when no key of this id is in use.
-- $1 retired bigint ms, $2 kid text.
-- Columns: kid text.
UPDATE keys SET retired = $1, secret = NULL
WHERE kid = $2 AND retired IS NULL
RETURNING kid
