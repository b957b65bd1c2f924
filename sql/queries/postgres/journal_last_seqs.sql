-- The number of the last entry of each of these people, null without one; and whether they were erased.
-- Array: $1 user_id bigint.
-- Columns: user_id bigint, seq bigint or null, erased boolean.
SELECT
    wanted.user_id,
    (SELECT MAX(journal.seq) FROM journal WHERE journal.user_id = wanted.user_id) AS seq,
    EXISTS (SELECT 1 FROM users WHERE users.id = wanted.user_id AND users.erased) AS erased
FROM unnest($1::bigint[]) AS wanted (user_id)
