-- The last fits of groups of people. summary: what is told of a fit, as JSON; state: what the next fit begins from; members:
-- each person's place, of the newest fit only, and of none once somebody was erased. state and members are postcard bytes.
CREATE TABLE cluster_fits (
    epoch     INTEGER PRIMARY KEY,
    fitted_at INTEGER NOT NULL,
    summary   TEXT    NOT NULL,
    state     BLOB    NOT NULL,
    members   BLOB
) STRICT;
