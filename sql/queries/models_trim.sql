-- Deletes all but the last $1 published models and the newest $2 models that were never published.
-- $1 published bigint, $2 unpublished bigint.
DELETE FROM models
WHERE version NOT IN (
    SELECT version FROM (
        SELECT version FROM model_publications GROUP BY version ORDER BY MAX(number) DESC LIMIT $1
    ) AS published
)
AND version NOT IN (
    SELECT version FROM (
        SELECT version FROM models WHERE version NOT IN (SELECT version FROM model_publications)
        ORDER BY version DESC LIMIT $2
    ) AS unpublished
)
