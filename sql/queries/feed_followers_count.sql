-- Number of feeds that follow a feed, by a prefix of their names.
-- $1 target text, $2 first text, $3 end text (names from first, before end).
-- Columns: n bigint.
SELECT COUNT(*) AS n FROM feed_follows
WHERE target = $1 AND source >= $2 AND source < $3 AND until_seq = 9223372036854775807 AND mirrored <> 3
