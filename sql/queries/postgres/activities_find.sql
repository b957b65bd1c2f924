-- Rows of `activities` by their keys.
-- $1 id text[].
-- Columns: n bigint (place in the arrays, from 1), id text, foreign_id text, time bigint us, doc text, item bigint.
SELECT f.n, t.id, t.foreign_id, t.time, t.doc, t.item
FROM unnest($1::text[]) WITH ORDINALITY AS f (id, n)
JOIN activities t ON t.id = f.id
