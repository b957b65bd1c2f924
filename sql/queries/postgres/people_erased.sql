-- Everybody who was erased.
-- Columns: id bigint.
SELECT id FROM users WHERE erased
