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
INSERT INTO clustering_fits (clustering, epoch, fitted_at, summary, state, members)
SELECT 'default', epoch, fitted_at, summary, state, members FROM cluster_fits;
DROP TABLE cluster_fits;
