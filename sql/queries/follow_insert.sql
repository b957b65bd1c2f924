-- Inserts an edge of the follow graph; a second insert keeps the first instant.
-- $1 source bigint, $2 target bigint, $3 since instant.
INSERT INTO follows (source, target, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
