-- The current term of the writer; no row before the first.
-- Columns: term bigint.
SELECT term FROM writer
