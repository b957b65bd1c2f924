-- Entries of all people after a position, in commit order.
-- $1 position bigint, $2 limit bigint.
-- Columns: position bigint, then those of journal_append.sql in its order.
SELECT position, user_id, seq, event_id, kind, at, received, item_id, revision, dwell_ms, shown_version, shown_position,
       shown_propensity, positive, weight, topics, centre_topic, centre_epoch, features, predicted, lesson, payload, cancelled_by
FROM journal
WHERE position > $1
ORDER BY position
LIMIT $2
