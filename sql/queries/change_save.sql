-- Upserts the instant of a change in the catalogue.
-- $1 kind text, $2 id bigint, $3 number bigint, $4 since bigint ms.
INSERT INTO changes (kind, id, number, since)
VALUES ($1, $2, $3, $4)
ON CONFLICT (kind, id, number) DO UPDATE
SET since = excluded.since
