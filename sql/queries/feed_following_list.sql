-- Feeds that a feed follows, newest first.
-- $1 source text, $2 limit bigint, $3 skip bigint.
-- Columns: source text, target text, created bigint us, updated bigint us.
SELECT source, target, created, updated FROM feed_follows
WHERE source = $1 AND until_seq = 9223372036854775807 AND mirrored <> 3
ORDER BY created DESC, from_seq DESC LIMIT $2 OFFSET $3
