-- Marks an entry as cancelled, once. SQLite numbers parameters by their first occurrence.
-- $1 cancelled_by bigint (seq of the entry that cancels it), $2 user_id bigint, $3 seq bigint.
UPDATE journal SET cancelled_by = $1 WHERE user_id = $2 AND seq = $3 AND cancelled_by IS NULL
