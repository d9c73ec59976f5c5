-- Failed attempts of checks, the certificates they saw, the kinds of observer gaps, and who follows whom.
CREATE TABLE check_faults (
    monitor_id  INTEGER NOT NULL REFERENCES monitors (id),
    at          REAL NOT NULL,
    status      INTEGER CHECK (status IN (1, 2)),
    latency     REAL NOT NULL,
    reason      TEXT NOT NULL,
    phases      TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(phases)),
    PRIMARY KEY (monitor_id, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX check_faults_by_time ON check_faults (at);

CREATE TABLE certificates (
    monitor_id   INTEGER NOT NULL REFERENCES monitors (id),
    fingerprint  BLOB NOT NULL,
    position     INTEGER NOT NULL,
    subject      TEXT NOT NULL,
    issuer       TEXT NOT NULL,
    ends         INTEGER NOT NULL,
    fault        TEXT NOT NULL,
    first_seen   INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL,
    PRIMARY KEY (monitor_id, fingerprint)
) STRICT, WITHOUT ROWID;

ALTER TABLE gaps ADD COLUMN kind INTEGER NOT NULL DEFAULT 0 CHECK (kind IN (0, 1));

CREATE TABLE followers (
    monitor_id   INTEGER NOT NULL REFERENCES monitors (id),
    follower_id  INTEGER NOT NULL REFERENCES monitors (id),
    PRIMARY KEY (monitor_id, follower_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX followers_by_follower ON followers (follower_id);
