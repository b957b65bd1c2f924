-- Forgets retired keys but for those that were retired last.
-- $1 how many stay bigint.
DELETE FROM keys
WHERE retired IS NOT NULL
AND kid NOT IN (SELECT kid FROM keys WHERE retired IS NOT NULL ORDER BY retired DESC, kid LIMIT $1)
