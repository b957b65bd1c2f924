-- Revokes a token; the first instant stays. No row comes back when no such id is kept.
-- $1 revoked bigint ms, $2 jti text.
-- Columns: jti text.
UPDATE tokens SET revoked = COALESCE(revoked, $1)
WHERE jti = $2
RETURNING jti
