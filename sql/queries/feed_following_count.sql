-- Number of feeds that a feed follows, by a prefix of their names.
-- $1 source text, $2 first text, $3 end text (names from first, before end).
-- Columns: n bigint.
SELECT COUNT(*) AS n FROM feed_follows
WHERE source = $1 AND target >= $2 AND target < $3 AND until_seq = 9223372036854775807 AND mirrored <> 3
