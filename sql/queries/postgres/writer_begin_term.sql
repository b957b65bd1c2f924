-- Begins a new term of the writer.
-- Columns: term bigint.
INSERT INTO writer (id, term) VALUES (1, 1)
ON CONFLICT (id) DO UPDATE
SET term = writer.term + 1
RETURNING term
