-- Feeds that somebody's screen has drawn, as far as they are logged. items: per place, from the top, the item's id (u32)
-- and the probability with which the policy put it there (f32), little-endian.
CREATE TABLE slates (
    user_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,
    ranking TEXT    NOT NULL,
    items   BLOB    NOT NULL,
    PRIMARY KEY (user_id, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX slates_by_time ON slates (at);
