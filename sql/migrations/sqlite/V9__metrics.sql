-- Metrics declared at run time. declaration: kind, unit, range, prior, types and attribute as JSON.
CREATE TABLE metrics (
    name        TEXT PRIMARY KEY,
    declaration TEXT NOT NULL
) STRICT, WITHOUT ROWID;
