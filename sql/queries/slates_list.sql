-- One page of the logged feeds of a person after a version, in order.
-- $1 user_id bigint, $2 version bigint, $3 limit bigint.
-- Columns: user_id bigint, version bigint, at timestamptz, epoch bigint, ranking text, items bytea.
SELECT user_id, version, at, epoch, ranking, items
FROM slates
WHERE user_id = $1 AND version > $2
ORDER BY version
LIMIT $3
