-- Feeds that somebody's screen has drawn, as far as they are logged. items: per place, from the top, the item's id (u32)
-- and the probability with which the policy put it there (f32), little-endian.
CREATE TABLE slates (
    user_id bigint      NOT NULL,
    version bigint      NOT NULL,
    at      timestamptz NOT NULL,
    epoch   bigint      NOT NULL,
    ranking text        NOT NULL,
    items   bytea       NOT NULL,
    PRIMARY KEY (user_id, version)
);

CREATE INDEX slates_by_time ON slates (at);
