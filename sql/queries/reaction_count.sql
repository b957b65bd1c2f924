-- Adds to the number of reactions of a kind.
-- $1 subject text, $2 kind text, $3 change bigint.
INSERT INTO reaction_counts (subject, kind, n) VALUES ($1, $2, $3)
ON CONFLICT (subject, kind) DO UPDATE SET n = reaction_counts.n + excluded.n
