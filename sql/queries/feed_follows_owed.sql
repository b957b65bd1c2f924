-- Follows between feeds whose native follow is still to be written or deleted, at most a page.
-- $1 limit bigint.
-- Columns: source text, target text, mirrored bigint, from_seq bigint.
SELECT source, target, mirrored, from_seq FROM feed_follows WHERE mirrored IN (1, 3) ORDER BY source, target LIMIT $1
