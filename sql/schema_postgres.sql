-- The whole schema of the Postgres store, for reading. A test keeps it equal to what sql/migrations/postgres makes.
-- Vectors are f32, little-endian.

CREATE TABLE users (
    id         bigint      PRIMARY KEY,
    key        text        NOT NULL UNIQUE,
    partition  bigint      NOT NULL,
    name       text,
    attributes text,
    created    timestamptz NOT NULL,
    -- An erased person leaves a tombstone, so ids have no gap.
    erased     boolean     NOT NULL DEFAULT FALSE
);

CREATE TABLE topics (
    id  bigint PRIMARY KEY,
    key text   NOT NULL UNIQUE
);

CREATE TABLE centres (
    topic_id bigint NOT NULL,
    epoch    bigint NOT NULL,
    vector   bytea  NOT NULL,
    PRIMARY KEY (topic_id, epoch)
);

CREATE TABLE items (
    id         bigint      PRIMARY KEY,
    key        text        NOT NULL UNIQUE,
    revision   bigint      NOT NULL,
    author_id  bigint,
    author_key text,
    topics     text        NOT NULL,
    text       text        NOT NULL,
    created    timestamptz NOT NULL,
    deleted    boolean     NOT NULL,
    attributes text
);

CREATE TABLE embeddings (
    item_id  bigint NOT NULL REFERENCES items (id) ON DELETE CASCADE,
    revision bigint NOT NULL,
    bytes    bytea  NOT NULL,
    PRIMARY KEY (item_id, revision)
);

-- Vectors do not compress: without this, Postgres tries each one above 2 kB in vain.
ALTER TABLE embeddings ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- The windows of one item never overlap. The id is written as a range from itself to itself, so the constraint needs no
-- extension (btree_gist), which not every database user may create.
CREATE TABLE windows (
    item_id bigint      NOT NULL REFERENCES items (id) ON DELETE CASCADE,
    start   timestamptz NOT NULL,
    stop    timestamptz,
    PRIMARY KEY (item_id, start),
    CONSTRAINT windows_no_overlap EXCLUDE USING gist
        (int8range(item_id, item_id, '[]') WITH &&, tstzrange(start, stop) WITH &&)
);

CREATE TABLE follows (
    source bigint      NOT NULL,
    target bigint      NOT NULL,
    since  timestamptz NOT NULL,
    PRIMARY KEY (source, target)
);

CREATE INDEX follows_by_target ON follows (target);

-- A log in commit order with indexes beside it.
-- No foreign keys: an entry outlives the catalogue rows that it names.
-- item_id is set for interactions only; the other kinds use payload (JSON).
CREATE TABLE journal (
    position         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id          bigint      NOT NULL,
    seq              bigint      NOT NULL,
    event_id         text        NOT NULL,
    kind             text        NOT NULL,
    at               timestamptz NOT NULL,
    received         timestamptz NOT NULL,
    item_id          bigint,
    revision         bigint,
    dwell_ms         bigint,
    shown_version    bigint,
    shown_position   bigint,
    shown_propensity real,
    positive         boolean,
    weight           real,
    topics           text,
    centre_topic     bigint,
    centre_epoch     bigint,
    features         bytea,
    predicted        bytea,
    payload          text,
    lesson           bytea,
    -- The seq of the entry that cancelled this one; null while it stands.
    cancelled_by     bigint
);

CREATE UNIQUE INDEX journal_by_user_seq ON journal (user_id, seq);

CREATE UNIQUE INDEX journal_by_user_event ON journal (user_id, event_id);

CREATE INDEX journal_by_item ON journal (item_id, position) WHERE item_id IS NOT NULL;

CREATE INDEX journal_cancelled ON journal (user_id, cancelled_by) WHERE cancelled_by IS NOT NULL;

CREATE INDEX journal_standing ON journal (user_id, item_id, kind, seq)
    WHERE cancelled_by IS NULL AND kind IN ('like', 'hide', 'reject');

-- Rows are updated only by an undo, so vacuum mostly freezes: it runs with growth, in small steps.
ALTER TABLE journal SET (autovacuum_vacuum_insert_scale_factor = 0.02);

-- The program compresses these bytes itself, if at all.
CREATE TABLE snapshots (
    user_id  bigint PRIMARY KEY,
    seq      bigint NOT NULL,
    checksum bigint NOT NULL,
    bytes    bytea  NOT NULL
) WITH (fillfactor = 70);

ALTER TABLE snapshots ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE coordinator_snapshots (
    position bigint PRIMARY KEY,
    checksum bigint NOT NULL,
    bytes    bytea  NOT NULL
);

-- Row 1: counter of the health check, which writes to show that the store can write. Row 2 exists while a dump is
-- loading, and after an interrupted load.
CREATE TABLE health (
    id     bigint PRIMARY KEY,
    checks bigint NOT NULL
) WITH (fillfactor = 50);

-- One row: the term of the writer. Each server that opens the store begins a new term. A server that lost its connection
-- and finds a later term has been replaced.
CREATE TABLE writer (
    id   bigint PRIMARY KEY CHECK (id = 1),
    term bigint NOT NULL
);

-- Instants of changes that have no column in their own row: kind is centre (id: topic, number: epoch), revision
-- (id: item, number: revision) or deleted (id: item, number: 0). Without a row: since ever.
CREATE TABLE changes (
    kind   text        NOT NULL,
    id     bigint      NOT NULL,
    number bigint      NOT NULL,
    since  timestamptz NOT NULL,
    PRIMARY KEY (kind, id, number)
);

-- Keys that sign tokens. A retired key has no secret. Instants in milliseconds: programs compare them with
-- those in the tokens.
CREATE TABLE keys (
    kid     text COLLATE "C" PRIMARY KEY,
    secret  bytea,
    created bigint NOT NULL,
    retired bigint
);

-- Records of tokens, never the tokens. role: user (subject is the person's key), service, elsewhere.
CREATE TABLE tokens (
    jti     text COLLATE "C" PRIMARY KEY,
    kid     text,
    role    text   NOT NULL,
    subject text,
    created bigint NOT NULL,
    expires bigint NOT NULL,
    revoked bigint
);

CREATE INDEX tokens_by_expiry ON tokens (expires);

CREATE INDEX tokens_revoked ON tokens (expires) WHERE revoked IS NOT NULL;

-- Logged feeds that a screen has drawn. items: per place, from the top, the item's id (u32) and its propensity, the
-- probability with which the policy put it there (f32), little-endian.
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

-- The last cluster fits of each clustering. summary: description as JSON; state: start of the next refit; members: cluster of
-- each person, for the newest fit only and until the next erasure. state and members are postcard bytes.
CREATE TABLE clustering_fits (
    clustering text COLLATE "C" NOT NULL,
    epoch      bigint           NOT NULL,
    fitted_at  timestamptz      NOT NULL,
    summary    text             NOT NULL,
    state      bytea            NOT NULL,
    members    bytea,
    PRIMARY KEY (clustering, epoch)
);

-- Two-tower models. summary: description as JSON; checkpoint: a safetensors file with the whole model.
CREATE TABLE models (
    version    bigint      PRIMARY KEY,
    created    timestamptz NOT NULL,
    summary    text        NOT NULL,
    checkpoint bytea       NOT NULL
);

-- The history of publications: the model of the last row serves.
CREATE TABLE model_publications (
    number  bigint      PRIMARY KEY,
    version bigint      NOT NULL,
    at      timestamptz NOT NULL
);

-- Metrics declared at run time. declaration: kind, unit, range, prior, types and attribute as JSON.
CREATE TABLE metrics (
    name        text COLLATE "C" PRIMARY KEY,
    declaration text NOT NULL
);

-- Settings of clusterings by revision; the newest one holds. settings: JSON. Without a row the settings of the configuration hold.
CREATE TABLE clusterings (
    name       text COLLATE "C" NOT NULL,
    revision   bigint           NOT NULL,
    changed_at timestamptz      NOT NULL,
    settings   text             NOT NULL,
    PRIMARY KEY (name, revision)
);

-- Names of clusters. A name follows the number of its cluster through refits, and stays when the number is gone.
CREATE TABLE cluster_names (
    clustering text COLLATE "C" NOT NULL,
    cluster    bigint           NOT NULL,
    name       text             NOT NULL,
    PRIMARY KEY (clustering, cluster)
);

-- The text index of the catalogue. words: folded words of an item that is not deleted, with their positions. The program
-- folds them and fills the table when it opens a store, so no text search configuration takes part.
CREATE TABLE item_words (
    item_id bigint   PRIMARY KEY REFERENCES items (id) ON DELETE CASCADE,
    words   tsvector NOT NULL
);

-- A search reads the whole list of pending entries, so it stays short.
CREATE INDEX item_words_by_word ON item_words USING gin (words) WITH (gin_pending_list_limit = 256);

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
