-- Revokes all tokens of a person who is about to be erased, and forgets whose they were.
-- $1 id bigint.
UPDATE tokens
SET role = 'elsewhere', subject = NULL, revoked = COALESCE(revoked, created)
WHERE role = 'user' AND subject = (SELECT key FROM users WHERE id = $1)
