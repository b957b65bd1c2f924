-- Revokes a token; the first instant stays. Returns no row when there is no such id.
-- $1 revoked bigint ms, $2 jti text.
-- Columns: jti text.
UPDATE tokens SET revoked = COALESCE(revoked, $1)
WHERE jti = $2
RETURNING jti
