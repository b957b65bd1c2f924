-- Keys that sign tokens. The secret is gone once a key is retired. Instants in milliseconds: programs compare them with
-- those in the tokens.
CREATE TABLE keys (
    kid     text COLLATE "C" PRIMARY KEY,
    secret  bytea,
    created bigint NOT NULL,
    retired bigint
);

-- What is known of each token; never the token itself. role: user (subject is the person's key), service, elsewhere.
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
