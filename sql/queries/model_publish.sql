-- Appends a publication: the model serves from this instant on.
-- $1 version bigint, $2 at timestamptz.
INSERT INTO model_publications (number, version, at)
VALUES ((SELECT COALESCE(MAX(number), 0) + 1 FROM model_publications), $1, $2)
