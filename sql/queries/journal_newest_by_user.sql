-- Interactions of a person without cancelled ones, newest first (sequence numbers rise in commit order).
-- $1 user_id bigint, $2 seq bigint: only interactions below, $3 limit bigint.
-- Columns: position bigint, then those of journal_append.sql in its order.
SELECT position, user_id, seq, event_id, kind, at, received, item_id, revision, dwell_ms, shown_version, shown_position,
       shown_propensity, positive, weight, topics, centre_topic, centre_epoch, features, predicted, lesson, payload, cancelled_by
FROM journal
WHERE user_id = $1 AND item_id IS NOT NULL AND cancelled_by IS NULL AND seq < $2
ORDER BY seq DESC
LIMIT $3
