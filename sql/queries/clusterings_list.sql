-- All revisions of clusterings, by name and by revision.
-- Columns: name text, revision bigint, changed_at timestamptz, settings text.
SELECT name, revision, changed_at, settings FROM clusterings ORDER BY name, revision
