-- The stored entries of these events of one person. The counterpart is ../postgres/journal_find_events.sql.
-- $1 user_id bigint, $2 event ids: a JSON array of texts.
-- Columns: position bigint, then those of journal_append.sql in its order.
SELECT position, user_id, seq, event_id, kind, at, received, item_id, revision, dwell_ms, shown_version, shown_position,
       shown_propensity, positive, weight, topics, centre_topic, centre_epoch, features, predicted, lesson, payload, cancelled_by
FROM journal
WHERE user_id = $1 AND event_id IN (SELECT value FROM json_each($2))
