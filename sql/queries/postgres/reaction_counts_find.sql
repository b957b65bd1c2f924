-- Rows of `reaction_counts` by their keys.
-- $1 subject text[].
-- Columns: n bigint (place in the arrays, from 1), subject text, kind text, n bigint.
SELECT f.n, t.subject, t.kind, t.n
FROM unnest($1::text[]) WITH ORDINALITY AS f (subject, n)
JOIN reaction_counts t ON t.subject = f.subject
