-- Appends entries in the order of the arrays. Fails when a (user, seq) or (user, event id) is taken. Appends nothing when a
-- needed entry is missing.
-- No ON CONFLICT: with a skipped entry, later ones of its person must not be stored. The writer looks duplicates up first
-- (journal_find_events.sql), and any other conflict must fail as a whole.
-- Arrays of one length: $1 user_id bigint, $2 seq bigint, $3 event_id text, $4 kind text, $5 at timestamptz,
-- $6 received timestamptz, $7 item_id bigint, $8 revision bigint, $9 dwell_ms bigint, $10 shown_version bigint,
-- $11 shown_position bigint, $12 shown_propensity real, $13 positive boolean, $14 weight real, $15 topics text (JSON),
-- $16 centre_topic bigint, $17 centre_epoch bigint, $18 features bytea, $19 predicted bytea, $20 lesson bytea, $21 payload text (JSON),
-- $22 cancelled_by bigint; nulls as in ../journal_append.sql. Needed entries, two more arrays of one length: $23 user_id
-- bigint, $24 seq bigint.
-- Columns: position bigint, in the order of the arrays.
INSERT INTO journal
      (user_id, seq, event_id, kind, at, received, item_id, revision, dwell_ms, shown_version, shown_position,
       shown_propensity, positive, weight, topics, centre_topic, centre_epoch, features, predicted, lesson, payload, cancelled_by)
SELECT *
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::real[], $13::boolean[], $14::real[],
            $15::text[], $16::bigint[], $17::bigint[], $18::bytea[], $19::bytea[], $20::bytea[], $21::text[], $22::bigint[])
WHERE (SELECT COALESCE(bool_and((SELECT TRUE FROM journal AS before
                                 WHERE before.user_id = needed.user_id AND before.seq = needed.seq) IS TRUE), TRUE)
       FROM unnest($23::bigint[], $24::bigint[]) AS needed (user_id, seq))
RETURNING position
