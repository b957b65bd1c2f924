-- Adds a window to an item.
-- $1 item_id bigint, $2 start bigint ms, $3 stop bigint ms or null (open-ended).
INSERT INTO windows (item_id, start, stop) VALUES ($1, $2, $3)
