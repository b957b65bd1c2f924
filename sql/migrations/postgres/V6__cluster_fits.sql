-- The last fits of groups of people. summary: what is told of a fit, as JSON; state: what the next fit begins from; members:
-- each person's place, of the newest fit only, and of none once somebody was erased. state and members are postcard bytes.
CREATE TABLE cluster_fits (
    epoch     bigint      PRIMARY KEY,
    fitted_at timestamptz NOT NULL,
    summary   text        NOT NULL,
    state     bytea       NOT NULL,
    members   bytea
);
