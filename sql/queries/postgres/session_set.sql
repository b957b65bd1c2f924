-- Sets all session parameters of a new connection, once.
-- $1 statement_timeout text (milliseconds), $2 lock_timeout text (milliseconds).
SELECT set_config('statement_timeout', $1::text, false),
       set_config('lock_timeout', $2::text, false),
       set_config('idle_in_transaction_session_timeout', '60000', false),
       set_config('TimeZone', 'UTC', false),
       set_config('client_min_messages', 'warning', false),
       -- A client that vanished without a word must not hold the lock of the one who writes for hours.
       set_config('tcp_keepalives_idle', '10', false),
       set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '3', false),
       -- Acknowledged means durable. Stronger settings of the database stay.
       set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'
                                             ELSE current_setting('synchronous_commit') END, false)
