-- Deletes a reaction.
-- $1 id text.
DELETE FROM reactions WHERE id = $1
