-- Logs a drawn feed once; inserts nothing for an erased person.
-- $1 user_id bigint, $2 version bigint, $3 at bigint, $4 epoch bigint, $5 ranking text, $6 items blob.
INSERT INTO slates (user_id, version, at, epoch, ranking, items)
SELECT $1, $2, $3, $4, $5, $6 FROM users WHERE id = $1 AND NOT erased
ON CONFLICT (user_id, version) DO NOTHING
