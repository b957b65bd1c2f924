-- Items with which interactions of a person stand, of one or two kinds: per item the newest interaction, newest first.
-- The list of kinds is that of the index journal_standing. SQLite keeps the order of a CROSS JOIN; with another one it would
-- compute the newest interactions again for each entry of the person.
-- $1 user_id bigint, $2 kind text, $3 kind text, $4 seq bigint (only items whose newest one is earlier), $5 limit bigint.
-- Columns: seq bigint, item_id bigint, kind text, at instant.
SELECT entry.seq, entry.item_id, entry.kind, entry.at
FROM (SELECT MAX(seq) AS seq
      FROM journal
      WHERE user_id = $1 AND kind IN ($2, $3) AND kind IN ('like', 'hide', 'reject') AND cancelled_by IS NULL
      GROUP BY item_id
      HAVING MAX(seq) < $4
      ORDER BY 1 DESC
      LIMIT $5) AS newest
CROSS JOIN journal AS entry
WHERE entry.user_id = $1 AND entry.seq = newest.seq
ORDER BY newest.seq DESC
