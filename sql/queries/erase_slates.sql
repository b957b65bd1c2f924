-- Deletes the logged feeds of a person.
-- $1 id bigint.
DELETE FROM slates WHERE user_id = $1
