-- One row of `reactions` by its key.
-- ?1 id text.
-- Columns: id text, subject text, activity text, parent text, user_id text, kind text, seq, created, updated, deleted bigint, doc text.
SELECT id, subject, activity, parent, user_id, kind, seq, created, updated, deleted, doc FROM reactions WHERE id = ?1
