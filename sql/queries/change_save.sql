-- Since when something of the catalogue is as it is; the newer instant counts.
-- $1 kind text, $2 id bigint, $3 number bigint, $4 since bigint ms.
INSERT INTO changes (kind, id, number, since)
VALUES ($1, $2, $3, $4)
ON CONFLICT (kind, id, number) DO UPDATE
SET since = excluded.since
