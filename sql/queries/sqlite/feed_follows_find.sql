-- One row of `feed_follows` by its key.
-- ?1 source text, ?2 target text.
-- Columns: source text, target text, created, updated, from_seq, until_seq, mirrored bigint.
SELECT source, target, created, updated, from_seq, until_seq, mirrored FROM feed_follows WHERE source = ?1 AND target = ?2
