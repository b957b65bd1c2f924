-- Reactions of a user on activities between two numbers, newest first, without deleted ones.
-- $1 user_id text, $2 kind text (empty: all), $3 by text (user; empty: all), $4 first bigint, $5 last bigint, $6 limit bigint.
-- Columns: id text, subject text, activity text, parent text, user_id text, kind text, seq, created, updated, deleted bigint, doc text.
SELECT id, subject, activity, parent, user_id, kind, seq, created, updated, deleted, doc
FROM reactions
WHERE user_id = $1 AND ($2 = '' OR kind = $2) AND ($3 = '' OR user_id = $3) AND seq >= $4 AND seq <= $5 AND deleted = 0 AND parent = ''
ORDER BY seq DESC LIMIT $6
