-- Deletes the edges of a person in the follow graph, in both directions.
-- $1 id bigint.
DELETE FROM follows WHERE source = $1 OR target = $1
