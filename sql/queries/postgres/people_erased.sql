-- The ids of all erased people.
-- Columns: id bigint.
SELECT id FROM users WHERE erased
