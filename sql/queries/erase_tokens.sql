-- Revokes all tokens of a person before their erasure, and deletes the subject of these tokens.
-- $1 id bigint.
UPDATE tokens
SET role = 'elsewhere', subject = NULL, revoked = COALESCE(revoked, created)
WHERE role = 'user' AND subject = (SELECT key FROM users WHERE id = $1)
