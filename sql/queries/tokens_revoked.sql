-- Ids of revoked tokens that expire after an instant.
-- $1 live_at bigint ms.
-- Columns: jti text.
SELECT jti FROM tokens WHERE revoked IS NOT NULL AND expires > $1
