-- Marks an entry as cancelled, once.
-- $1 user_id bigint, $2 seq bigint, $3 cancelled_by bigint (seq of the entry that cancels it).
UPDATE journal SET cancelled_by = $3 WHERE user_id = $1 AND seq = $2 AND cancelled_by IS NULL
