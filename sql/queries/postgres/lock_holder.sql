-- The holder of the lock of lock_try.sql, as far as the privileges of this user show it.
-- $1 key bigint.
-- Columns: holder text.
SELECT 'connection ' || locks.pid
       || COALESCE(' (' || activity.application_name || ' from ' || COALESCE(host(activity.client_addr), 'this machine')
                   || ', connected since ' || to_char(activity.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC)', '')
       AS holder
FROM pg_locks AS locks
LEFT JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
WHERE locks.locktype = 'advisory' AND locks.granted
  AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (locks.classid::bigint << 32) | locks.objid::bigint = $1::bigint
