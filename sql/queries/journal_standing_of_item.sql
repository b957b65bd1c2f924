-- Interactions of a person with an item that stand, of one or two kinds, newest first. The list of kinds is that of the
-- index journal_standing. The sign before seq makes both databases use that index instead of one in the order of seq.
-- $1 user_id bigint, $2 item_id bigint, $3 kind text, $4 kind text, $5 limit bigint.
-- Columns: seq bigint.
SELECT seq
FROM journal
WHERE user_id = $1 AND item_id = $2 AND kind IN ($3, $4) AND kind IN ('like', 'hide', 'reject') AND cancelled_by IS NULL
ORDER BY +seq DESC
LIMIT $5
