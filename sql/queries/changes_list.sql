-- All changes of the catalogue.
-- Columns: kind text, id bigint, number bigint, since instant.
SELECT kind, id, number, since FROM changes ORDER BY kind, id, number
