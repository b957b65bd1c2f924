-- Append-only: a change of the schema is a new file beside this one. See sql/schema.sql for the whole.

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
