-- Notes how far the native follow of a follow between feeds is.
-- $1 mirrored bigint, $2 source text, $3 target text.
UPDATE feed_follows SET mirrored = $1 WHERE source = $2 AND target = $3
