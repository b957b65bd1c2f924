-- All windows of all items, by item and start.
-- Columns: item_id bigint, start instant, stop instant or null.
SELECT item_id, start, stop FROM windows ORDER BY item_id, start
