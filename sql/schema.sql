-- The whole schema of the embedded store, for reading. A test keeps it equal to what sql/migrations/sqlite makes.
-- Instants are milliseconds since the Unix epoch, UTC. Vectors are f32, little-endian.

CREATE TABLE users (
    id         INTEGER PRIMARY KEY,
    key        TEXT    NOT NULL UNIQUE,
    partition  INTEGER NOT NULL,
    name       TEXT,
    attributes TEXT,
    created    INTEGER NOT NULL,
    erased     INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE topics (
    id  INTEGER PRIMARY KEY,
    key TEXT    NOT NULL UNIQUE
) STRICT;

CREATE TABLE centres (
    topic_id INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    vector   BLOB    NOT NULL,
    PRIMARY KEY (topic_id, epoch)
) STRICT;

CREATE TABLE items (
    id         INTEGER PRIMARY KEY,
    key        TEXT    NOT NULL UNIQUE,
    revision   INTEGER NOT NULL,
    author_id  INTEGER,
    author_key TEXT,
    topics     TEXT    NOT NULL,
    text       TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    deleted    INTEGER NOT NULL,
    attributes TEXT
) STRICT;

CREATE TABLE embeddings (
    item_id  INTEGER NOT NULL REFERENCES items (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    bytes    BLOB    NOT NULL,
    PRIMARY KEY (item_id, revision)
) STRICT;

CREATE TABLE windows (
    item_id INTEGER NOT NULL REFERENCES items (id) ON DELETE CASCADE,
    start   INTEGER NOT NULL,
    stop    INTEGER,
    PRIMARY KEY (item_id, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE follows (
    source INTEGER NOT NULL,
    target INTEGER NOT NULL,
    since  INTEGER NOT NULL,
    PRIMARY KEY (source, target)
) STRICT, WITHOUT ROWID;

CREATE INDEX follows_by_target ON follows (target);

-- A log in commit order with indexes beside it: clustered by person it would take a third of the appends per second.
-- No foreign keys: an entry outlives the catalogue rows that it names.
-- item_id is set for interactions only; the other kinds use payload (JSON).
CREATE TABLE journal (
    position         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id          INTEGER NOT NULL,
    seq              INTEGER NOT NULL,
    event_id         TEXT    NOT NULL,
    kind             TEXT    NOT NULL,
    at               INTEGER NOT NULL,
    received         INTEGER NOT NULL,
    item_id          INTEGER,
    revision         INTEGER,
    dwell_ms         INTEGER,
    shown_version    INTEGER,
    shown_position   INTEGER,
    shown_propensity REAL,
    positive         INTEGER,
    weight           REAL,
    topics           TEXT,
    centre_topic     INTEGER,
    centre_epoch     INTEGER,
    features         BLOB,
    predicted        BLOB,
    payload          TEXT,
    lesson           BLOB,
    -- The seq of the entry that cancelled this one; null while it stands.
    cancelled_by     INTEGER
) STRICT;

CREATE UNIQUE INDEX journal_by_user_seq ON journal (user_id, seq);

CREATE UNIQUE INDEX journal_by_user_event ON journal (user_id, event_id);

CREATE INDEX journal_by_item ON journal (item_id, position) WHERE item_id IS NOT NULL;

CREATE INDEX journal_cancelled ON journal (user_id, cancelled_by) WHERE cancelled_by IS NOT NULL;

CREATE INDEX journal_standing ON journal (user_id, item_id, kind, seq)
    WHERE cancelled_by IS NULL AND kind IN ('like', 'hide', 'reject');

CREATE TABLE snapshots (
    user_id  INTEGER PRIMARY KEY,
    seq      INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    bytes    BLOB    NOT NULL
) STRICT;

CREATE TABLE coordinator_snapshots (
    position INTEGER PRIMARY KEY,
    checksum INTEGER NOT NULL,
    bytes    BLOB    NOT NULL
) STRICT;

-- Row 1: counter of the health check, which writes to show that the store can write. Row 2 exists while a dump is
-- loading, and after an interrupted load.
CREATE TABLE health (
    id     INTEGER PRIMARY KEY,
    checks INTEGER NOT NULL
) STRICT;

-- Instants of changes that have no column in their own row: kind is centre (id: topic, number: epoch), revision
-- (id: item, number: revision) or deleted (id: item, number: 0). Without a row: since ever.
CREATE TABLE changes (
    kind   TEXT    NOT NULL,
    id     INTEGER NOT NULL,
    number INTEGER NOT NULL,
    since  INTEGER NOT NULL,
    PRIMARY KEY (kind, id, number)
) STRICT, WITHOUT ROWID;

-- Keys that sign tokens. A retired key has no secret.
CREATE TABLE keys (
    kid     TEXT    PRIMARY KEY,
    secret  BLOB,
    created INTEGER NOT NULL,
    retired INTEGER
) STRICT, WITHOUT ROWID;

-- Records of tokens, never the tokens. role: user (subject is the person's key), service, elsewhere.
CREATE TABLE tokens (
    jti     TEXT    PRIMARY KEY,
    kid     TEXT,
    role    TEXT    NOT NULL,
    subject TEXT,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    revoked INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_expiry ON tokens (expires);

CREATE INDEX tokens_revoked ON tokens (expires) WHERE revoked IS NOT NULL;

-- Logged feeds that a screen has drawn. items: per place, from the top, the item's id (u32) and its propensity, the
-- probability with which the policy put it there (f32), little-endian.
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

-- The last cluster fits of each clustering. summary: description as JSON; state: start of the next refit; members: cluster of
-- each person, for the newest fit only and until the next erasure. state and members are postcard bytes.
CREATE TABLE clustering_fits (
    clustering TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    fitted_at  INTEGER NOT NULL,
    summary    TEXT    NOT NULL,
    state      BLOB    NOT NULL,
    members    BLOB,
    PRIMARY KEY (clustering, epoch)
) STRICT;

-- Two-tower models. summary: description as JSON; checkpoint: a safetensors file with the whole model.
CREATE TABLE models (
    version    INTEGER PRIMARY KEY,
    created    INTEGER NOT NULL,
    summary    TEXT    NOT NULL,
    checkpoint BLOB    NOT NULL
) STRICT;

-- The history of publications: the model of the last row serves.
CREATE TABLE model_publications (
    number  INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

-- Metrics declared at run time. declaration: kind, unit, range, prior, types and attribute as JSON.
CREATE TABLE metrics (
    name        TEXT PRIMARY KEY,
    declaration TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Settings of clusterings by revision; the newest one holds. settings: JSON. Without a row the settings of the configuration hold.
CREATE TABLE clusterings (
    name       TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    settings   TEXT    NOT NULL,
    PRIMARY KEY (name, revision)
) STRICT, WITHOUT ROWID;

-- Names of clusters. A name follows the number of its cluster through refits, and stays when the number is gone.
CREATE TABLE cluster_names (
    clustering TEXT    NOT NULL,
    cluster    INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    PRIMARY KEY (clustering, cluster)
) STRICT, WITHOUT ROWID;

-- The text index of the catalogue. words: folded words of an item that is not deleted, in order, separated by spaces, where
-- the tokenizer `ascii` parts them. rowid: the item's id. The program fills it when it opens a store.
CREATE VIRTUAL TABLE item_words USING fts5 (words, tokenize = 'ascii', prefix = '2 3');

-- Words of a deleted item leave the index at once; otherwise they stay until a merge.
INSERT INTO item_words (item_words, rank) VALUES ('secure-delete', 1);

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
