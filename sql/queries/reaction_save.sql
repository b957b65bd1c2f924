-- Saves a reaction.
-- $1 id text, $2 subject text (parent, or else activity), $3 activity text, $4 parent text, $5 user_id text, $6 kind text, $7 seq bigint,
-- $8 created bigint us, $9 updated bigint us, $10 deleted bigint us or 0, $11 doc text (JSON).
INSERT INTO reactions (id, subject, activity, parent, user_id, kind, seq, created, updated, deleted, doc)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (id) DO UPDATE SET updated = excluded.updated, deleted = excluded.deleted, doc = excluded.doc
