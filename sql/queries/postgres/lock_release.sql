-- Releases the lock of lock_try.sql.
-- $1 key bigint.
SELECT pg_advisory_unlock($1::bigint)
