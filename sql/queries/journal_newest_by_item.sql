-- Interactions with an item, newest first by commit order, without cancelled ones.
-- $1 item_id bigint, $2 position bigint: only interactions below, $3 limit bigint.
-- Columns: position bigint, then those of journal_append.sql in its order.
SELECT position, user_id, seq, event_id, kind, at, received, item_id, revision, dwell_ms, shown_version, shown_position,
       shown_propensity, positive, weight, topics, centre_topic, centre_epoch, features, predicted, lesson, payload, cancelled_by
FROM journal
WHERE item_id = $1 AND cancelled_by IS NULL AND position < $2
ORDER BY position DESC
LIMIT $3
