-- Returns a row when this person was erased.
-- $1 id bigint.
-- Columns: id bigint.
SELECT id FROM users WHERE id = $1 AND erased
