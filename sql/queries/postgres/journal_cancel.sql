-- Marks entries as cancelled, each once.
-- Arrays of one length: $1 user_id bigint, $2 seq bigint, $3 cancelled_by bigint (seq of the entry that cancels it).
UPDATE journal
SET cancelled_by = named.cancelled_by
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS named (user_id, seq, cancelled_by)
WHERE journal.user_id = named.user_id AND journal.seq = named.seq AND journal.cancelled_by IS NULL
