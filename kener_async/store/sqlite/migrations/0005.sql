-- Alerts, what is to be told of them, and incidents that were opened by a rule.
CREATE TABLE alerts (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    monitor_id         INTEGER NOT NULL REFERENCES monitors (id),
    rule               TEXT NOT NULL,
    severity           INTEGER NOT NULL CHECK (severity IN (0, 1, 2)),
    since              INTEGER NOT NULL,
    opened_at          INTEGER NOT NULL,
    told_at            INTEGER,
    reminders          INTEGER NOT NULL DEFAULT 0,
    reminded_at        INTEGER,
    because            INTEGER REFERENCES monitors (id),
    is_flapping        INTEGER NOT NULL DEFAULT 0 CHECK (is_flapping IN (0, 1)),
    settled_at         INTEGER,
    acknowledged_at    INTEGER,
    acknowledged_by    TEXT NOT NULL DEFAULT '',
    acknowledged_from  TEXT NOT NULL DEFAULT '',
    snoozed_until      INTEGER,
    incident           INTEGER,
    until              INTEGER,
    closed_at          INTEGER,
    closing            INTEGER CHECK (closing IN (0, 1, 2)),
    CHECK ((closed_at IS NULL) = (closing IS NULL))
) STRICT;
CREATE UNIQUE INDEX alerts_open ON alerts (monitor_id, rule) WHERE closed_at IS NULL;
CREATE INDEX alerts_by_monitor ON alerts (monitor_id);
CREATE INDEX alerts_by_rule ON alerts (monitor_id, rule);
CREATE INDEX alerts_by_incident ON alerts (incident) WHERE incident IS NOT NULL;
CREATE INDEX alerts_flapping ON alerts (monitor_id, rule) WHERE is_flapping = 1 AND settled_at IS NULL;
CREATE INDEX alerts_closed ON alerts (closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE notices (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind      INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    alert     INTEGER,
    incident  INTEGER,
    body      TEXT NOT NULL CHECK (json_valid(body))
) STRICT;
CREATE INDEX notices_by_alert ON notices (alert) WHERE alert IS NOT NULL;
CREATE INDEX notices_by_instant ON notices (at);

CREATE TABLE deliveries (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    notice       INTEGER NOT NULL REFERENCES notices (id),
    channel      TEXT NOT NULL,
    state        INTEGER NOT NULL CHECK (state IN (0, 1, 2, 3, 4, 5)),
    attempts     INTEGER NOT NULL DEFAULT 0,
    due_at       REAL NOT NULL,
    merged_into  INTEGER,
    answer       TEXT NOT NULL DEFAULT '',
    reference    TEXT NOT NULL DEFAULT '',
    done_at      INTEGER,
    UNIQUE (notice, channel)
) STRICT;
CREATE INDEX deliveries_waiting ON deliveries (channel) WHERE state IN (0, 1);
CREATE INDEX deliveries_failed ON deliveries (done_at) WHERE state = 3;

CREATE TABLE channel_states (
    channel     TEXT PRIMARY KEY,
    failures    INTEGER NOT NULL DEFAULT 0,
    paused_at   INTEGER,
    last_sent   INTEGER,
    last_fault  TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

ALTER TABLE incidents ADD COLUMN source INTEGER NOT NULL DEFAULT 0 CHECK (source IN (0, 1));
ALTER TABLE incidents ADD COLUMN covers INTEGER NOT NULL DEFAULT 1 CHECK (covers IN (0, 1));
ALTER TABLE incidents ADD COLUMN is_draft INTEGER NOT NULL DEFAULT 0 CHECK (is_draft IN (0, 1));
ALTER TABLE incidents ADD COLUMN is_monitoring INTEGER NOT NULL DEFAULT 0 CHECK (is_monitoring IN (0, 1));
ALTER TABLE incidents ADD COLUMN touched_at INTEGER;
CREATE INDEX incidents_drafts ON incidents (number) WHERE is_draft = 1;
