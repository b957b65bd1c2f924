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
INSERT INTO clustering_fits (clustering, epoch, fitted_at, summary, state, members)
SELECT 'default', epoch, fitted_at, summary, state, members FROM cluster_fits;
DROP TABLE cluster_fits;
