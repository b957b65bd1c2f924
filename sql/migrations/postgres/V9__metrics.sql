-- Metrics declared at run time. declaration: kind, unit, range, prior, types and attribute as JSON.
CREATE TABLE metrics (
    name        text COLLATE "C" PRIMARY KEY,
    declaration text NOT NULL
);
