-- Appends entries in the order of the stream; fails when a (user, seq) or (user, event id) is taken.
-- The stream has the binary format of COPY, with the columns of ../journal_append.sql.
COPY journal
      (user_id, seq, event_id, kind, at, received, item_id, revision, dwell_ms, shown_version, shown_position,
       shown_propensity, positive, weight, topics, centre_topic, centre_epoch, features, predicted, lesson, payload, cancelled_by)
FROM STDIN (FORMAT binary)
