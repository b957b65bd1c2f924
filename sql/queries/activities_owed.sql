-- Activities whose item is still to be written, at most a page.
-- $1 after text (the last id of the page before, or empty), $2 limit bigint.
-- Columns: id text, time bigint us, doc text, item bigint.
SELECT id, time, doc, item FROM activities WHERE item = 1 AND id > $1 ORDER BY id LIMIT $2
