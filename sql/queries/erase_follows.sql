-- Forgets whom a person follows, and who follows them.
-- $1 id bigint.
DELETE FROM follows WHERE source = $1 OR target = $1
