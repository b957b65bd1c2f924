-- Inserts the record of a token; returns no row when its id is taken.
-- $1 jti text, $2 kid text or null, $3 role text, $4 subject text or null, $5 created bigint ms, $6 expires bigint ms,
-- $7 revoked bigint ms or null.
-- Columns: jti text.
INSERT INTO tokens (jti, kid, role, subject, created, expires, revoked)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
RETURNING jti
