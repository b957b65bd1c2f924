-- Takes a lock that ends with the connection, if nobody has it.
-- $1 key bigint.
-- Columns: taken boolean.
SELECT pg_try_advisory_lock($1::bigint) AS taken
