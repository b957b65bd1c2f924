-- Adds windows to items.
-- Arrays of one length: $1 item_id bigint, $2 start timestamptz, $3 stop timestamptz (null is open-ended).
INSERT INTO windows (item_id, start, stop)
SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[])
