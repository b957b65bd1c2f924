-- Forgets what a person was shown.
-- $1 id bigint.
DELETE FROM slates WHERE user_id = $1
