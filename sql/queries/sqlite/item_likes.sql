-- Number of standing likes of an item that did not come as reactions, at most a number of them.
-- ?1 item_id bigint, ?2 limit bigint.
-- Columns: n bigint.
SELECT COUNT(*) FROM (
    SELECT event_id FROM journal
    WHERE item_id = ?1 AND kind = 'like' AND cancelled_by IS NULL
    ORDER BY position DESC LIMIT ?2
) AS likes
WHERE NOT EXISTS (SELECT 1 FROM reactions WHERE reactions.id = likes.event_id)
