-- Deletes all journal entries of a person.
-- $1 user_id bigint.
DELETE FROM journal WHERE user_id = $1
