-- The sequence number of the last entry of a person; null without one.
-- $1 user_id bigint.
-- Columns: seq bigint or null.
SELECT MAX(seq) AS seq FROM journal WHERE user_id = $1
