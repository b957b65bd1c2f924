-- Deletes all but the most recently retired keys.
-- $1 kept bigint: number of retired keys that stay.
DELETE FROM keys
WHERE retired IS NOT NULL
AND kid NOT IN (SELECT kid FROM keys WHERE retired IS NOT NULL ORDER BY retired DESC, kid LIMIT $1)
