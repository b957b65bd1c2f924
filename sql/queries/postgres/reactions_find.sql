-- Rows of `reactions` by their keys.
-- $1 id text[].
-- Columns: n bigint (place in the arrays, from 1), id text, subject text, activity text, parent text, user_id text, kind text, seq, created, updated, deleted bigint, doc text.
SELECT f.n, t.id, t.subject, t.activity, t.parent, t.user_id, t.kind, t.seq, t.created, t.updated, t.deleted, t.doc
FROM unnest($1::text[]) WITH ORDINALITY AS f (id, n)
JOIN reactions t ON t.id = f.id
