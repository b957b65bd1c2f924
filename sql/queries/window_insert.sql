-- Adds a window to an item.
-- $1 item_id bigint, $2 start instant, $3 stop instant or null (open-ended).
INSERT INTO windows (item_id, start, stop) VALUES ($1, $2, $3)
