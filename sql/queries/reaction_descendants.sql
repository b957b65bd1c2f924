-- Reactions on a reaction, deleted ones too.
-- $1 subject text.
-- Columns: id text, subject text, activity text, parent text, user_id text, kind text, seq, created, updated, deleted bigint, doc text.
SELECT id, subject, activity, parent, user_id, kind, seq, created, updated, deleted, doc FROM reactions WHERE subject = $1
