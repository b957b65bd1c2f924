-- Deletes ended follows between two feeds except the newest.
-- $1 source text, $2 target text, $3 kept bigint.
DELETE FROM feed_follows
WHERE source = $1 AND target = $2 AND until_seq < 9223372036854775807 AND from_seq NOT IN (
    SELECT from_seq FROM feed_follows
    WHERE source = $1 AND target = $2 AND until_seq < 9223372036854775807
    ORDER BY from_seq DESC LIMIT $3
)
