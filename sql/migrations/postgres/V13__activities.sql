-- Activities of the feeds API. doc: all fields as a JSON object; time: microseconds; item: 0 no item, 1 to be written as an item,
-- 2 written.
CREATE TABLE activities (
    id         text COLLATE "C" PRIMARY KEY,
    foreign_id text COLLATE "C" NOT NULL,
    time       bigint NOT NULL,
    doc        text NOT NULL,
    item       bigint NOT NULL
);
CREATE INDEX activities_by_foreign_id ON activities (foreign_id) WHERE foreign_id <> '';
CREATE INDEX activities_owed ON activities (id) WHERE item = 1;

-- Which feed holds which activity. seq: order of insertion; direct: 1 if the activity was written to this feed, 0 if it came as a target.
CREATE TABLE activity_entries (
    feed     text COLLATE "C" NOT NULL,
    activity text COLLATE "C" NOT NULL,
    time     bigint NOT NULL,
    seq      bigint NOT NULL,
    direct   bigint NOT NULL,
    PRIMARY KEY (feed, activity)
);
CREATE INDEX activity_entries_by_time ON activity_entries (feed, time, seq) INCLUDE (activity);
CREATE INDEX activity_entries_by_activity ON activity_entries (activity);
CREATE INDEX activity_entries_by_seq ON activity_entries (seq);

-- Follows between feeds. A follow shows entries from the place (lower_time, lower_seq) on, and all inserted after from_seq, up to
-- until_time and until_seq. mirrored: 0 between feeds alone, 1 native follow to be written, 2 written, 3 to be deleted.
CREATE TABLE feed_follows (
    source     text COLLATE "C" NOT NULL,
    target     text COLLATE "C" NOT NULL,
    from_seq   bigint NOT NULL,
    lower_time bigint NOT NULL,
    lower_seq  bigint NOT NULL,
    until_time bigint NOT NULL,
    until_seq  bigint NOT NULL,
    created    bigint NOT NULL,
    updated    bigint NOT NULL,
    mirrored   bigint NOT NULL,
    PRIMARY KEY (source, target, from_seq)
);
CREATE INDEX feed_follows_by_source ON feed_follows (source, created);
CREATE INDEX feed_follows_by_target ON feed_follows (target, created);
CREATE INDEX feed_follows_owed ON feed_follows (source, target) WHERE mirrored IN (1, 3);

-- Reactions. subject: the reaction that it answers, or else the activity; seq: order of insertion; deleted: 0 while it stands.
CREATE TABLE reactions (
    id       text COLLATE "C" PRIMARY KEY,
    subject  text COLLATE "C" NOT NULL,
    activity text COLLATE "C" NOT NULL,
    parent   text COLLATE "C" NOT NULL,
    user_id  text COLLATE "C" NOT NULL,
    kind     text COLLATE "C" NOT NULL,
    seq      bigint NOT NULL,
    created  bigint NOT NULL,
    updated  bigint NOT NULL,
    deleted  bigint NOT NULL,
    doc      text NOT NULL
);
CREATE INDEX reactions_by_subject ON reactions (subject, seq);
CREATE INDEX reactions_by_kind ON reactions (subject, kind, seq);
CREATE INDEX reactions_by_user ON reactions (user_id, seq);

-- Number of standing reactions by kind on an activity or a reaction.
CREATE TABLE reaction_counts (
    subject text COLLATE "C" NOT NULL,
    kind    text COLLATE "C" NOT NULL,
    n       bigint NOT NULL,
    PRIMARY KEY (subject, kind)
);

-- Users of the feeds API (collection empty) and entries of its collections. doc: JSON.
CREATE TABLE feed_objects (
    collection text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    created    bigint NOT NULL,
    updated    bigint NOT NULL,
    doc        text NOT NULL,
    PRIMARY KEY (collection, id)
);

-- How far a feed was seen (kind 0) or read (kind 1): all groups (group_id empty) or one, up to a seq.
CREATE TABLE feed_marks (
    feed     text COLLATE "C" NOT NULL,
    kind     bigint NOT NULL,
    group_id text COLLATE "C" NOT NULL,
    seq      bigint NOT NULL,
    PRIMARY KEY (feed, kind, group_id)
);
