-- Upserts a revision of the settings of a clustering.
-- $1 name text, $2 revision bigint, $3 changed_at timestamptz, $4 settings text.
INSERT INTO clusterings (name, revision, changed_at, settings)
VALUES ($1, $2, $3, $4)
ON CONFLICT (name, revision) DO UPDATE
SET changed_at = excluded.changed_at, settings = excluded.settings
