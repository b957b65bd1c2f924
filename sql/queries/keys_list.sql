-- All keys that sign tokens, by creation and then id.
-- Columns: kid text, secret bytes or null (retired), created bigint ms, retired bigint ms or null.
SELECT kid, secret, created, retired FROM keys ORDER BY created, kid
