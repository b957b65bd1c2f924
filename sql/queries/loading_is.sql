-- Returns a row while a dump is loading, and after an interrupted load.
-- Columns: id bigint.
SELECT id FROM health WHERE id = 2
