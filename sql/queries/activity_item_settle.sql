-- Notes how far the item of an activity is: 0 none, 1 to be written, 2 written.
-- $1 item bigint, $2 id text.
UPDATE activities SET item = $1 WHERE id = $2
