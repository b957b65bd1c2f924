-- Takes the reactions of a person out of the numbers of reactions.
-- $1 id bigint.
UPDATE reaction_counts SET n = n - (
    SELECT COUNT(*) FROM reactions
    WHERE user_id = (SELECT key FROM users WHERE id = $1) AND deleted = 0
        AND subject = reaction_counts.subject AND kind = reaction_counts.kind
)
WHERE subject IN (SELECT subject FROM reactions WHERE user_id = (SELECT key FROM users WHERE id = $1))
