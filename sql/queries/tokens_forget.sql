-- Deletes tokens that expired at or before an instant.
-- $1 expires bigint ms.
DELETE FROM tokens WHERE expires <= $1
