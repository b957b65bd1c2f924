-- One row of `reaction_counts` by its key.
-- ?1 subject text.
-- Columns: subject text, kind text, n bigint.
SELECT subject, kind, n FROM reaction_counts WHERE subject = ?1
