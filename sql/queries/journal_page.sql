-- One page of the entries of a person after a sequence number, up to an instant of their own time, in order.
-- $1 user_id bigint, $2 seq bigint, $3 at instant, $4 limit bigint.
-- Columns: position bigint, then those of journal_append.sql in its order.
SELECT position, user_id, seq, event_id, kind, at, received, item_id, revision, dwell_ms, shown_version, shown_position,
       shown_propensity, positive, weight, topics, centre_topic, centre_epoch, features, predicted, lesson, payload, cancelled_by
FROM journal
WHERE user_id = $1 AND seq > $2 AND at <= $3
ORDER BY seq
LIMIT $4
