-- Inserts a model; an existing version stays.
-- $1 version bigint, $2 created timestamptz, $3 summary text, $4 checkpoint bytea.
INSERT INTO models (version, created, summary, checkpoint) VALUES ($1, $2, $3, $4)
ON CONFLICT (version) DO NOTHING
