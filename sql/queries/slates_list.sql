-- A person's logged feeds, in order.
-- $1 user_id bigint.
-- Columns: user_id bigint, version bigint, at timestamptz, epoch bigint, ranking text, items bytea.
SELECT user_id, version, at, epoch, ranking, items FROM slates WHERE user_id = $1 ORDER BY version
