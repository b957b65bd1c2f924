-- The number under which an event is stored.
-- $1 user_id bigint, $2 event_id text.
-- Columns: seq bigint.
SELECT seq FROM journal WHERE user_id = $1 AND event_id = $2
