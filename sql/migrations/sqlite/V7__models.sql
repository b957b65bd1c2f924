-- Two-tower models. summary: what is told of one, as JSON; checkpoint: a safetensors file with all that the model needs.
CREATE TABLE models (
    version    INTEGER PRIMARY KEY,
    created    INTEGER NOT NULL,
    summary    TEXT    NOT NULL,
    checkpoint BLOB    NOT NULL
) STRICT;

-- Which of them served from when on: the last row is the one that serves.
CREATE TABLE model_publications (
    number  INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL
) STRICT;
