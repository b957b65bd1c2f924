-- Deletes all follows between two feeds, ended ones too.
-- $1 source text, $2 target text.
DELETE FROM feed_follows WHERE source = $1 AND target = $2
