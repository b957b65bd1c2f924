-- Terminates a lost connection of this server that still holds the lock of lock_try.sql.
-- $1 key bigint, $2 process bigint (of that connection).
SELECT pg_terminate_backend(locks.pid)
FROM pg_locks AS locks
WHERE locks.locktype = 'advisory' AND locks.granted AND locks.pid = $2::bigint
  AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (locks.classid::bigint << 32) | locks.objid::bigint = $1::bigint
