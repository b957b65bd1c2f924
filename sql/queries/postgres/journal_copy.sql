-- Appends entries in the order in which they come; fails when a (user, seq) or (user, event id) is taken.
-- Followed by rows in the binary form of COPY, columns as in ../journal_append.sql.
COPY journal
      (user_id, seq, event_id, kind, at, received, item_id, revision, dwell_ms, shown_version, shown_position,
       shown_propensity, positive, weight, topics, centre_topic, centre_epoch, features, predicted, lesson, payload)
FROM STDIN (FORMAT binary)
