-- Activities of the feeds API. doc: all fields as a JSON object; time: microseconds; item: 0 no item, 1 to be written as an item,
-- 2 written.
CREATE TABLE activities (
    id         TEXT PRIMARY KEY,
    foreign_id TEXT NOT NULL,
    time       INTEGER NOT NULL,
    doc        TEXT NOT NULL,
    item       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX activities_by_foreign_id ON activities (foreign_id) WHERE foreign_id <> '';
CREATE INDEX activities_owed ON activities (id) WHERE item = 1;

-- Which feed holds which activity. seq: order of insertion; direct: 1 if the activity was written to this feed, 0 if it came as a target.
CREATE TABLE activity_entries (
    feed     TEXT NOT NULL,
    activity TEXT NOT NULL,
    time     INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    direct   INTEGER NOT NULL,
    PRIMARY KEY (feed, activity)
) STRICT, WITHOUT ROWID;
CREATE INDEX activity_entries_by_time ON activity_entries (feed, time, seq);
CREATE INDEX activity_entries_by_activity ON activity_entries (activity);
CREATE INDEX activity_entries_by_seq ON activity_entries (seq);

-- Follows between feeds. A follow shows entries from the place (lower_time, lower_seq) on, and all inserted after from_seq, up to
-- until_time and until_seq. mirrored: 0 between feeds alone, 1 native follow to be written, 2 written, 3 to be deleted.
CREATE TABLE feed_follows (
    source     TEXT NOT NULL,
    target     TEXT NOT NULL,
    from_seq   INTEGER NOT NULL,
    lower_time INTEGER NOT NULL,
    lower_seq  INTEGER NOT NULL,
    until_time INTEGER NOT NULL,
    until_seq  INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    updated    INTEGER NOT NULL,
    mirrored   INTEGER NOT NULL,
    PRIMARY KEY (source, target, from_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX feed_follows_by_source ON feed_follows (source, created);
CREATE INDEX feed_follows_by_target ON feed_follows (target, created);
CREATE INDEX feed_follows_owed ON feed_follows (source, target) WHERE mirrored IN (1, 3);

-- Reactions. subject: the reaction that it answers, or else the activity; seq: order of insertion; deleted: 0 while it stands.
CREATE TABLE reactions (
    id       TEXT PRIMARY KEY,
    subject  TEXT NOT NULL,
    activity TEXT NOT NULL,
    parent   TEXT NOT NULL,
    user_id  TEXT NOT NULL,
    kind     TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    updated  INTEGER NOT NULL,
    deleted  INTEGER NOT NULL,
    doc      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX reactions_by_subject ON reactions (subject, seq);
CREATE INDEX reactions_by_kind ON reactions (subject, kind, seq);
CREATE INDEX reactions_by_user ON reactions (user_id, seq);

-- Number of standing reactions by kind on an activity or a reaction.
CREATE TABLE reaction_counts (
    subject TEXT NOT NULL,
    kind    TEXT NOT NULL,
    n       INTEGER NOT NULL,
    PRIMARY KEY (subject, kind)
) STRICT, WITHOUT ROWID;

-- Users of the feeds API (collection empty) and entries of its collections. doc: JSON.
CREATE TABLE feed_objects (
    collection TEXT NOT NULL,
    id         TEXT NOT NULL,
    created    INTEGER NOT NULL,
    updated    INTEGER NOT NULL,
    doc        TEXT NOT NULL,
    PRIMARY KEY (collection, id)
) STRICT, WITHOUT ROWID;

-- How far a feed was seen (kind 0) or read (kind 1): all groups (group_id empty) or one, up to a seq.
CREATE TABLE feed_marks (
    feed     TEXT NOT NULL,
    kind     INTEGER NOT NULL,
    group_id TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (feed, kind, group_id)
) STRICT, WITHOUT ROWID;
