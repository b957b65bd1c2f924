-- Somebody who was erased leaves a row behind, so that ids have no gap; whom they followed, and who followed them, is
-- found without reading the whole graph.

ALTER TABLE users ADD COLUMN erased boolean NOT NULL DEFAULT FALSE;

CREATE INDEX follows_by_target ON follows (target);

-- Since when something is as it is, where its own row does not say: kind is centre (id: topic, number: epoch), revision
-- (id: item, number: revision) or deleted (id: item, number: 0). Without a row: always.
CREATE TABLE changes (
    kind   text        NOT NULL,
    id     bigint      NOT NULL,
    number bigint      NOT NULL,
    since  timestamptz NOT NULL,
    PRIMARY KEY (kind, id, number)
);
