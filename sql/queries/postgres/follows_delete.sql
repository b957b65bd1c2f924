-- Deletes edges of the follow graph.
-- Arrays of one length: $1 source bigint, $2 target bigint.
DELETE FROM follows
WHERE (source, target) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))
