-- Somebody who was erased leaves a row behind, so that ids have no gap; whom they followed, and who followed them, is
-- found without reading the whole graph.

ALTER TABLE users ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;

CREATE INDEX follows_by_target ON follows (target);
