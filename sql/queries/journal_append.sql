-- Appends one entry; changes nothing when (user, seq) or (user, event id) is taken.
-- No RETURNING, since SQLite builds a temporary table for it: the position is the last rowid.
-- $1 user_id bigint, $2 seq bigint, $3 event_id text, $4 kind text, $5 at instant, $6 received instant,
-- and for interactions, else null: $7 item_id bigint, $8 revision bigint, $9 dwell_ms bigint or null,
-- $10 shown_version bigint, $11 shown_position bigint, $12 shown_propensity real (all three or none),
-- $13 positive boolean, $14 weight real (both or none), $15 topics text (JSON array of ids, the main one first),
-- $16 centre_topic bigint, $17 centre_epoch bigint, $18 features bytes (f32 each), $19 predicted bytes (online, topics, model: f32),
-- $20 lesson bytes or null (postcard);
-- for the other kinds: $21 payload text (JSON);
-- $22 cancelled_by bigint or null (seq of the entry that cancelled this one; set on insert only by the load of a dump).
INSERT INTO journal
      (user_id, seq, event_id, kind, at, received, item_id, revision, dwell_ms, shown_version, shown_position,
       shown_propensity, positive, weight, topics, centre_topic, centre_epoch, features, predicted, lesson, payload, cancelled_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
ON CONFLICT DO NOTHING
