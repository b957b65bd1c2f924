-- Logs drawn feeds once; inserts nothing for an erased person. Locks the rows of the people, which orders this statement
-- and a concurrent erasure.
-- Arrays of one length: $1 user_id bigint, $2 version bigint, $3 at timestamptz, $4 epoch bigint, $5 ranking text,
-- $6 items bytea.
WITH known AS (SELECT id FROM users WHERE id = ANY ($1::bigint[]) AND NOT erased ORDER BY id FOR SHARE)
INSERT INTO slates (user_id, version, at, epoch, ranking, items)
SELECT new.user_id, new.version, new.at, new.epoch, new.ranking, new.items
FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::text[], $6::bytea[])
     AS new (user_id, version, at, epoch, ranking, items)
JOIN known ON known.id = new.user_id
ON CONFLICT (user_id, version) DO NOTHING
