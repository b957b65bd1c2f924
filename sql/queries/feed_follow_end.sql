-- Ends a follow and keeps what it showed so far.
-- $1 until_time bigint us, $2 until_seq bigint, $3 updated bigint us, $4 source text, $5 target text.
UPDATE feed_follows SET until_time = $1, until_seq = $2, updated = $3
WHERE source = $4 AND target = $5 AND until_seq = 9223372036854775807
