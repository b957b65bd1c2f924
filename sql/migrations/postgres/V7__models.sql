-- Two-tower models. summary: what is told of one, as JSON; checkpoint: a safetensors file with all that the model needs.
CREATE TABLE models (
    version    bigint      PRIMARY KEY,
    created    timestamptz NOT NULL,
    summary    text        NOT NULL,
    checkpoint bytea       NOT NULL
);

-- Which of them served from when on: the last row is the one that serves.
CREATE TABLE model_publications (
    number  bigint      PRIMARY KEY,
    version bigint      NOT NULL,
    at      timestamptz NOT NULL
);
