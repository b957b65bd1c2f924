-- Gives a lock of lock_try.sql back.
-- $1 key bigint.
SELECT pg_advisory_unlock($1::bigint)
