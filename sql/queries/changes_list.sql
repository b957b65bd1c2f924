-- All changes of the catalogue with their instants, by kind and id.
-- Columns: kind text, id bigint, number bigint, since instant.
SELECT kind, id, number, since FROM changes ORDER BY kind, id, number
