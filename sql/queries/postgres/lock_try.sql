-- Takes an advisory lock, if it is free; the lock ends with the connection.
-- $1 key bigint.
-- Columns: taken boolean.
SELECT pg_try_advisory_lock($1::bigint) AS taken
