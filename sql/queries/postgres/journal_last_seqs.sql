-- The sequence number of the last entry of each of these people, null without one.
-- Array: $1 user_id bigint.
-- Columns: user_id bigint, seq bigint or null.
SELECT
    wanted.user_id,
    (SELECT MAX(journal.seq) FROM journal WHERE journal.user_id = wanted.user_id) AS seq
FROM unnest($1::bigint[]) AS wanted (user_id)
