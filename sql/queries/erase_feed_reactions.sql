-- Deletes the reactions of a person.
-- $1 id bigint.
DELETE FROM reactions WHERE user_id = (SELECT key FROM users WHERE id = $1)
