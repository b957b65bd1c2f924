-- Deletes feeds that were drawn before an instant.
-- $1 at timestamptz.
DELETE FROM slates WHERE at < $1
