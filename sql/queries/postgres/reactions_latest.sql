-- The newest reactions of each kind on each activity or reaction, without deleted ones.
-- $1 subject text[], $2 kind text[], $3 by text[] (user; empty: all), $4 limit bigint.
-- Columns: n bigint (place in the arrays, from 1), id text, subject text, activity text, parent text, user_id text, kind text, seq, created, updated, deleted bigint, doc text.
SELECT f.n, r.id, r.subject, r.activity, r.parent, r.user_id, r.kind, r.seq, r.created, r.updated, r.deleted, r.doc
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS f (subject, kind, by_user, n)
CROSS JOIN LATERAL (
    SELECT id, subject, activity, parent, user_id, kind, seq, created, updated, deleted, doc FROM reactions
    WHERE subject = f.subject AND kind = f.kind AND (f.by_user = '' OR user_id = f.by_user) AND deleted = 0
    ORDER BY seq DESC LIMIT $4
) r
