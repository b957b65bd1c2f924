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
    deleted    INTEGER NOT NULL
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
-- No foreign keys: an entry stays true after the catalogue has forgotten what it names.
-- item_id is set for interactions only; the other kinds keep what they need in payload (JSON).
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
    lesson           BLOB
) STRICT;

CREATE UNIQUE INDEX journal_by_user_seq ON journal (user_id, seq);

CREATE UNIQUE INDEX journal_by_user_event ON journal (user_id, event_id);

CREATE INDEX journal_by_item ON journal (item_id, position) WHERE item_id IS NOT NULL;

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

-- Row 1: what the health check writes, so that "can it write" is answered by writing. Row 2 is there while a dump is
-- being loaded, and after a load that was interrupted.
CREATE TABLE health (
    id     INTEGER PRIMARY KEY,
    checks INTEGER NOT NULL
) STRICT;

-- Since when something is as it is, where its own row does not say: kind is centre (id: topic, number: epoch), revision
-- (id: item, number: revision) or deleted (id: item, number: 0). Without a row: always.
CREATE TABLE changes (
    kind   TEXT    NOT NULL,
    id     INTEGER NOT NULL,
    number INTEGER NOT NULL,
    since  INTEGER NOT NULL,
    PRIMARY KEY (kind, id, number)
) STRICT, WITHOUT ROWID;

-- Keys that sign tokens. The secret is gone once a key is retired.
CREATE TABLE keys (
    kid     TEXT    PRIMARY KEY,
    secret  BLOB,
    created INTEGER NOT NULL,
    retired INTEGER
) STRICT, WITHOUT ROWID;

-- What is known of each token; never the token itself. role: user (subject is the person's key), service, elsewhere.
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

-- The last fits of groups of people. summary: what is told of a fit, as JSON; state: what the next fit begins from; members:
-- each person's place, of the newest fit only, and of none once somebody was erased. state and members are postcard bytes.
CREATE TABLE cluster_fits (
    epoch     INTEGER PRIMARY KEY,
    fitted_at INTEGER NOT NULL,
    summary   TEXT    NOT NULL,
    state     BLOB    NOT NULL,
    members   BLOB
) STRICT;

-- Two-tower models. summary: what is told of one, as JSON; checkpoint: a safetensors file with all that the model needs.
CREATE TABLE models (
    version    INTEGER PRIMARY KEY,
    created    INTEGER NOT NULL,
    summary    TEXT    NOT NULL,
    checkpoint BLOB    NOT NULL
) STRICT;

-- Which of them served from when on: the last row is the one that serves.
CREATE TABLE model_publications (
    number  INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL
) STRICT;
