-- Tokens that expire after an instant, by id, page by page.
-- $1 live_at bigint ms, $2 after text (the last id of the page before, or empty), $3 limit bigint.
-- Columns: jti text, kid text or null, role text, subject text or null, created bigint ms, expires bigint ms,
-- revoked bigint ms or null.
SELECT jti, kid, role, subject, created, expires, revoked FROM tokens
WHERE expires > $1 AND jti > $2
ORDER BY jti
LIMIT $3
