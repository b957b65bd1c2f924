-- One row of `activities` by its key.
-- ?1 id text.
-- Columns: id text, foreign_id text, time bigint us, doc text, item bigint.
SELECT id, foreign_id, time, doc, item FROM activities WHERE id = ?1
