-- The journal entry of an event.
-- $1 user_id bigint, $2 event_id text.
-- Columns: position bigint, then those of journal_append.sql in its order.
SELECT position, user_id, seq, event_id, kind, at, received, item_id, revision, dwell_ms, shown_version, shown_position,
       shown_propensity, positive, weight, topics, centre_topic, centre_epoch, features, predicted, lesson, payload, cancelled_by
FROM journal
WHERE user_id = $1 AND event_id = $2
