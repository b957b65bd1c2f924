-- Saves an activity. An overwrite keeps `item` unless the new state asks for a write or a deletion of the item.
-- $1 id text, $2 foreign_id text, $3 time bigint us, $4 doc text (JSON), $5 item bigint.
INSERT INTO activities (id, foreign_id, time, doc, item) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET
    doc = excluded.doc,
    item = CASE WHEN excluded.item = 0 THEN activities.item ELSE excluded.item END
