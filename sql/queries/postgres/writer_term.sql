-- The current term; no row before the first.
-- Columns: term bigint.
SELECT term FROM writer
