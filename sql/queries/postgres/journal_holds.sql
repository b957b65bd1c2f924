-- Whether all of these entries are stored. The form forces one lookup in journal_by_user_seq each, whatever the statistics.
-- Arrays of one length: $1 user_id bigint, $2 seq bigint.
-- Columns: holds boolean.
SELECT COALESCE(bool_and((SELECT TRUE FROM journal AS before
                          WHERE before.user_id = needed.user_id AND before.seq = needed.seq) IS TRUE), TRUE) AS holds
FROM unnest($1::bigint[], $2::bigint[]) AS needed (user_id, seq)
