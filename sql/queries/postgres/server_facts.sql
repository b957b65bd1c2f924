-- Version, encoding and fsync of the server, checked before the first use.
-- Columns: version bigint (150004 is 15.4), encoding text, fsync text.
SELECT current_setting('server_version_num')::bigint AS version, current_setting('server_encoding') AS encoding,
       current_setting('fsync') AS fsync
