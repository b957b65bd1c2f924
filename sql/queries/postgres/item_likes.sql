-- Number of standing likes of each item that did not come as reactions, at most a number of them.
-- $1 item_id bigint[], $2 limit bigint.
-- Columns: n bigint (place in the array, from 1), likes bigint.
SELECT f.n, l.likes
FROM unnest($1::bigint[]) WITH ORDINALITY AS f (item_id, n)
CROSS JOIN LATERAL (
    SELECT COUNT(*) AS likes FROM (
        SELECT event_id FROM journal
        WHERE item_id = f.item_id AND kind = 'like' AND cancelled_by IS NULL
        ORDER BY position DESC LIMIT $2
    ) likes
    WHERE NOT EXISTS (SELECT 1 FROM reactions WHERE reactions.id = likes.event_id)
) l
