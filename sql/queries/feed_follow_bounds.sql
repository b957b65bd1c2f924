-- Bounds of all follows of a feed, ended ones too, newest first.
-- $1 source text, $2 limit bigint.
-- Columns: target text, lower_time, lower_seq, from_seq, until_time, until_seq bigint, mirrored bigint.
SELECT target, lower_time, lower_seq, from_seq, until_time, until_seq, mirrored FROM feed_follows
WHERE source = $1 ORDER BY created DESC, from_seq DESC LIMIT $2
