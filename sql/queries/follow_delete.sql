-- Deletes an edge of the follow graph.
-- $1 source bigint, $2 target bigint.
DELETE FROM follows WHERE source = $1 AND target = $2
