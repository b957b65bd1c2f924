-- The newest reactions of a kind on an activity or a reaction, without deleted ones.
-- ?1 subject text, ?2 kind text, ?3 by text (user; empty: all), ?4 limit bigint.
-- Columns: id text, subject text, activity text, parent text, user_id text, kind text, seq, created, updated, deleted bigint, doc text.
SELECT id, subject, activity, parent, user_id, kind, seq, created, updated, deleted, doc FROM reactions
WHERE subject = ?1 AND kind = ?2 AND (?3 = '' OR user_id = ?3) AND deleted = 0
ORDER BY seq DESC LIMIT ?4
