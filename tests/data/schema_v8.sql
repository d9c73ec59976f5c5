-- The whole schema of a new database (version 8; older ones are migrated by kener_async/store/sqlite/migrations).
--
-- Four layers are stored separately: samples, incidents, settings, gaps. Statuses and uptimes are a pure function
-- of them (docs/uptime.md); `quarters` is the only aggregate, and can be counted again from the layers.
--
-- Instants are whole UTC seconds. `minute` and `quarter` are the instants at which a minute or a quarter-hour begins.
-- status: 0 UP, 1 DEGRADED, 2 DOWN.   source: 0 pushed, 1 checked.
-- A latency of type INTEGER is in millionths of the sender's unit, one of type REAL is in that unit: a number with
-- up to six decimals thus takes a third of the space, and every number is read back as it was sent.

-- One row: the state of the server.
CREATE TABLE service (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    last_seen     INTEGER NOT NULL,    -- when the server was last running
    rolled_until  INTEGER NOT NULL,    -- every quarter before this one has been marked dirty at least once
    kept_from     INTEGER NOT NULL,    -- samples and quarters before this instant have been deleted
    integrity_passed_at INTEGER,       -- when the large tables last passed the integrity check; NULL: never
    identity      TEXT NOT NULL DEFAULT '',  -- a UUID, of which ids are made that must not depend on an address
    audit_from    INTEGER NOT NULL DEFAULT 0,  -- the newest row of the audit log that was deleted by its age
    audit_link    BLOB,                        -- and its link, which the next row continues; NULL: none was
    hot_from      INTEGER NOT NULL DEFAULT 0,  -- before it the samples of a day are in `sealed`, from it on in `samples`
    late_before   INTEGER NOT NULL DEFAULT 0,  -- before it samples that come in are written to `late_samples`
    sealed_monitor INTEGER NOT NULL DEFAULT 0  -- up to which monitor the day between these two is sealed
) STRICT;

CREATE TABLE monitors (
    id          INTEGER PRIMARY KEY,
    tag         TEXT NOT NULL UNIQUE,
    last_heard  INTEGER,   -- when a report of it last arrived, about whatever minute; NULL: not known
    newest      INTEGER    -- the newest minute of which a sample was ever stored; NULL: none
) STRICT;

-- The settings that decide the status of a minute: a version applies from `since` until the next one.
CREATE TABLE settings (
    monitor_id  INTEGER NOT NULL REFERENCES monitors (id),
    since       INTEGER NOT NULL,
    body        TEXT NOT NULL CHECK (json_valid(body)),
    PRIMARY KEY (monitor_id, since)
) STRICT, WITHOUT ROWID;

-- The monitors whose minutes follow from those of another: groups from their members, and children from the parents
-- that excuse them, by all settings in the history. Marks of the one are marks of the others, too.
CREATE TABLE followers (
    monitor_id   INTEGER NOT NULL REFERENCES monitors (id),
    follower_id  INTEGER NOT NULL REFERENCES monitors (id),
    PRIMARY KEY (monitor_id, follower_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX followers_by_follower ON followers (follower_id);

-- The sample of a minute is in `late_samples`, or else in `samples` or `sealed`, as `hot_from` says.
-- Those of the last days, ordered by minute, so that all that arrives is written to the same few pages.
CREATE TABLE samples (
    monitor_id  INTEGER NOT NULL,
    minute      INTEGER NOT NULL CHECK (minute % 60 = 0),
    status      INTEGER NOT NULL CHECK (status IN (0, 1, 2)),
    source      INTEGER NOT NULL CHECK (source IN (0, 1)),
    latency     ANY NOT NULL,
    PRIMARY KEY (minute, monitor_id)
) STRICT, WITHOUT ROWID;

-- Those that came in for sealed days, until they are merged into these.
CREATE TABLE late_samples (
    monitor_id  INTEGER NOT NULL,
    minute      INTEGER NOT NULL CHECK (minute % 60 = 0),
    status      INTEGER NOT NULL CHECK (status IN (0, 1, 2)),
    source      INTEGER NOT NULL CHECK (source IN (0, 1)),
    latency     ANY NOT NULL,
    PRIMARY KEY (monitor_id, minute)
) STRICT, WITHOUT ROWID;

-- All samples of a monitor in the UTC day that begins at `day`, packed as store/packing.py says.
CREATE TABLE sealed (
    monitor_id  INTEGER NOT NULL,
    day         INTEGER NOT NULL CHECK (day % 86400 = 0),
    packed      BLOB NOT NULL,
    PRIMARY KEY (monitor_id, day)
) STRICT;

-- Spans [start, end) in which the server was not running, or was offline.   kind: 0 not running, 1 offline.
CREATE TABLE gaps (
    id     INTEGER PRIMARY KEY,
    start  INTEGER NOT NULL,
    "end"  INTEGER NOT NULL CHECK ("end" > start),
    kind   INTEGER NOT NULL DEFAULT 0 CHECK (kind IN (0, 1))
) STRICT;

-- closed_at: when it was resolved or its end passed, whichever was first.
CREATE TABLE incidents (
    number              INTEGER PRIMARY KEY AUTOINCREMENT,
    title               TEXT NOT NULL,
    body                TEXT NOT NULL,
    start               INTEGER NOT NULL,
    "end"               INTEGER,
    impact              INTEGER CHECK (impact IN (1, 2)),
    is_maintenance      INTEGER NOT NULL CHECK (is_maintenance IN (0, 1)),
    is_identified       INTEGER NOT NULL CHECK (is_identified IN (0, 1)),
    is_resolved         INTEGER NOT NULL CHECK (is_resolved IN (0, 1)),
    created_at          INTEGER NOT NULL,
    resolved_at         INTEGER,
    closed_at           INTEGER,
    ended_by_resolving  INTEGER NOT NULL CHECK (ended_by_resolving IN (0, 1)),
    updated_at          INTEGER NOT NULL DEFAULT 0,    -- when anything that is shown of it was last edited
    revision            INTEGER NOT NULL DEFAULT 0,    -- how often it was edited
    source              INTEGER NOT NULL DEFAULT 0 CHECK (source IN (0, 1)),         -- 0 a person, 1 an alert rule
    covers              INTEGER NOT NULL DEFAULT 1 CHECK (covers IN (0, 1)),         -- 0: its minutes are what was measured
    is_draft            INTEGER NOT NULL DEFAULT 0 CHECK (is_draft IN (0, 1)),       -- 1: not on any page
    is_monitoring       INTEGER NOT NULL DEFAULT 0 CHECK (is_monitoring IN (0, 1)),  -- 1: over, and being watched
    touched_at          INTEGER,   -- when a person first changed one that a rule opened; NULL: not yet
    postmortem          TEXT NOT NULL DEFAULT '',      -- Markdown; empty: none
    postmortem_at       INTEGER,                       -- when it was published; NULL: not yet
    series              TEXT,                          -- the name of the series that a maintenance is an occurrence of
    occurrence          TEXT,                          -- its begin by the series, in local time
    is_changed          INTEGER NOT NULL DEFAULT 0 CHECK (is_changed IN (0, 1)),   -- 1: not as its series says
    announce            TEXT CHECK (announce IS NULL OR json_valid(announce))    -- seconds before the start, as a list; NULL: never
) STRICT;

CREATE INDEX incidents_open ON incidents (created_at) WHERE closed_at IS NULL;
CREATE INDEX incidents_drafts ON incidents (number) WHERE is_draft = 1;
CREATE UNIQUE INDEX incidents_by_occurrence ON incidents (series, occurrence) WHERE series IS NOT NULL;
CREATE INDEX incidents_announced ON incidents (start) WHERE announce IS NOT NULL;

CREATE TABLE incident_monitors (
    number      INTEGER NOT NULL REFERENCES incidents (number),
    position    INTEGER NOT NULL,    -- the order in which the tags were sent
    monitor_id  INTEGER NOT NULL REFERENCES monitors (id),
    impact      INTEGER CHECK (impact IN (0, 1, 2)),    -- of this monitor alone, 0 none; NULL: that of the incident
    PRIMARY KEY (number, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX incident_monitors_by_monitor ON incident_monitors (monitor_id, number);

-- state: 0 investigating, 1 identified, 2 monitoring, 3 resolved; NULL: it stays as it was.
CREATE TABLE updates (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    number      INTEGER NOT NULL REFERENCES incidents (number),
    body        TEXT NOT NULL,                     -- Markdown; empty: only the state or the impacts changed
    created_at  INTEGER NOT NULL,
    at          INTEGER NOT NULL DEFAULT 0,        -- the time it stands at, which may be earlier than its making
    state       INTEGER CHECK (state IN (0, 1, 2, 3)),
    impacts     TEXT CHECK (impacts IS NULL OR json_valid(impacts)),  -- {tag: 0, 1, 2 or null} of the monitors it changed
    author      TEXT NOT NULL DEFAULT '',
    edited_at   INTEGER
) STRICT;

CREATE INDEX updates_by_incident ON updates (number, id);

-- The minutes of each status in a quarter-hour, and the latencies of its samples; all zeros have no row.
-- Degraded minutes that count as downtime by the settings of their time are in both columns.
CREATE TABLE quarters (
    monitor_id            INTEGER NOT NULL,
    quarter               INTEGER NOT NULL CHECK (quarter % 900 = 0),
    up                    INTEGER NOT NULL,
    degraded              INTEGER NOT NULL,
    degraded_as_downtime  INTEGER NOT NULL,
    down                  INTEGER NOT NULL,
    maintenance           INTEGER NOT NULL,
    latency_count         INTEGER NOT NULL,
    latency_sum           ANY NOT NULL,
    latency_min           ANY,
    latency_max           ANY,
    PRIMARY KEY (monitor_id, quarter)
) STRICT, WITHOUT ROWID;

-- The sums of the quarters of whole days [start, end) of a time zone, so that windows need not add up each quarter.
-- A row is deleted in the transaction that counts one of its quarters again.
CREATE TABLE days (
    monitor_id            INTEGER NOT NULL,
    start                 INTEGER NOT NULL CHECK (start % 900 = 0),
    "end"                 INTEGER NOT NULL CHECK ("end" % 900 = 0 AND "end" > start),
    up                    INTEGER NOT NULL,
    degraded              INTEGER NOT NULL,
    degraded_as_downtime  INTEGER NOT NULL,
    down                  INTEGER NOT NULL,
    maintenance           INTEGER NOT NULL,
    latency_count         INTEGER NOT NULL,
    latency_sum           ANY NOT NULL,
    latency_min           ANY,
    latency_max           ANY,
    PRIMARY KEY (monitor_id, start, "end")
) STRICT, WITHOUT ROWID;

-- Spans [start, end) of quarters whose counts may differ from the layers. They are marked in the transaction
-- that changes a layer, and unmarked in the one that counts the quarters again.
CREATE TABLE dirty (
    monitor_id  INTEGER NOT NULL,
    start       INTEGER NOT NULL CHECK (start % 900 = 0),
    "end"       INTEGER NOT NULL CHECK ("end" % 900 = 0 AND "end" > start),
    PRIMARY KEY (monitor_id, start)
) STRICT, WITHOUT ROWID;

-- The records of tokens made here, and of those made elsewhere but revoked here; the tokens are not stored.
CREATE TABLE tokens (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    scopes      TEXT NOT NULL,
    tags        TEXT,                -- a JSON array of patterns; NULL: every monitor
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,             -- NULL: never
    last_used   INTEGER,
    revoked_at  INTEGER,
    digest      BLOB,                -- the SHA-256 of a push key; NULL: it is a JWT
    sender      TEXT                 -- the id of the token whose devices it continues; NULL: its own
) STRICT, WITHOUT ROWID;

-- Devices, which report in batches under a name and may number their samples. A name belongs to a sender: the id of
-- the token, or of the one that it replaces, and the subject of a token made elsewhere. The same name from another
-- sender is another device.
CREATE TABLE devices (
    id            INTEGER PRIMARY KEY,
    sender        TEXT NOT NULL,
    name          TEXT NOT NULL,
    last_heard    INTEGER NOT NULL,    -- by this server's clock
    newest        INTEGER NOT NULL,    -- the newest minute it has reported; 0: none yet
    clock_offset  INTEGER,             -- seconds its clock was behind this server's when it last sent its time in time
    floor         INTEGER NOT NULL,    -- numbers below this one are no longer stored one by one
    lost          INTEGER NOT NULL,    -- missing numbers given up: below the floor, or before a restart
    restarts      INTEGER NOT NULL,    -- how often its numbers started over
    recent        TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(recent)),    -- [number, minute, checksum] of its newest
    UNIQUE (sender, name)
) STRICT;

-- The monitors each device has reported.
CREATE TABLE device_monitors (
    device_id   INTEGER NOT NULL REFERENCES devices (id),
    monitor_id  INTEGER NOT NULL REFERENCES monitors (id),
    PRIMARY KEY (device_id, monitor_id)
) STRICT, WITHOUT ROWID;

-- The numbers received from a device, as disjoint spans [first, last] from its floor on.
CREATE TABLE heard (
    device_id  INTEGER NOT NULL REFERENCES devices (id),
    first      INTEGER NOT NULL,
    last       INTEGER NOT NULL CHECK (last >= first),
    PRIMARY KEY (device_id, first)
) STRICT, WITHOUT ROWID;

-- The highest number received from a device for a minute; kept only while a lower one may still arrive.
CREATE TABLE claims (
    device_id   INTEGER NOT NULL REFERENCES devices (id),
    monitor_id  INTEGER NOT NULL,
    minute      INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    PRIMARY KEY (device_id, monitor_id, minute)
) STRICT, WITHOUT ROWID;

-- When each boot of a device began, by this server's clock: the origin of its monotonic clock.
CREATE TABLE boots (
    device_id  INTEGER NOT NULL REFERENCES devices (id),
    boot       TEXT NOT NULL,
    began_at   REAL NOT NULL,
    PRIMARY KEY (device_id, boot)
) STRICT, WITHOUT ROWID;

-- The smallest offset heard of a device in each hour of the last day: time on the network only makes it larger.
CREATE TABLE clock_offsets (
    device_id  INTEGER NOT NULL REFERENCES devices (id),
    hour       INTEGER NOT NULL CHECK (hour % 3600 = 0),
    smallest   INTEGER NOT NULL,
    PRIMARY KEY (device_id, hour)
) STRICT, WITHOUT ROWID;

-- Runs of jobs that have reported their start and not yet their end.
CREATE TABLE runs (
    monitor_id  INTEGER NOT NULL REFERENCES monitors (id),
    run         TEXT NOT NULL,         -- the id that the job gives this run; empty: none
    started_at  REAL NOT NULL,         -- by this server's clock
    PRIMARY KEY (monitor_id, run)
) STRICT, WITHOUT ROWID;

-- When jobs said that they began; one that does not report its end within its grace is late.
CREATE TABLE starts (
    monitor_id  INTEGER NOT NULL REFERENCES monitors (id),
    started_at  INTEGER NOT NULL,      -- UTC seconds, by this server's clock
    PRIMARY KEY (monitor_id, started_at)
) STRICT, WITHOUT ROWID;

-- Alerts: one rule of config.toml being true of one monitor, from when it opened until it closed. Only they are
-- stored; whether a rule is true is computed from the layers (docs/alerts.md).
-- severity: 0 info, 1 warning, 2 critical.   closing: 0 resolved, 1 retracted, 2 removed.
CREATE TABLE alerts (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    monitor_id         INTEGER NOT NULL REFERENCES monitors (id),
    rule               TEXT NOT NULL,
    severity           INTEGER NOT NULL CHECK (severity IN (0, 1, 2)),
    since              INTEGER NOT NULL,    -- where the streak of bad minutes began
    opened_at          INTEGER NOT NULL,
    told_at            INTEGER,             -- NULL: it opened quietly
    reminders          INTEGER NOT NULL DEFAULT 0,
    reminded_at        INTEGER,
    because            INTEGER REFERENCES monitors (id),    -- a parent that was bad when it opened
    is_flapping        INTEGER NOT NULL DEFAULT 0 CHECK (is_flapping IN (0, 1)),
    settled_at         INTEGER,             -- when its monitor had kept one side for long enough again
    acknowledged_at    INTEGER,
    acknowledged_by    TEXT NOT NULL DEFAULT '',
    acknowledged_from  TEXT NOT NULL DEFAULT '',
    snoozed_until      INTEGER,
    incident           INTEGER,             -- the number of the incident that was opened with it
    until              INTEGER,             -- where the streak of good minutes began
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

-- What is to be told, as facts; written in the transaction that changed what it is about.
-- kind: 0 opened, 1 reminded, 2 resolved, 3 retracted, 4 removed, 5 flapping, 6 settled, 7 acknowledged,
-- 8 a channel was paused, 9 a test.
CREATE TABLE notices (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind      INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    alert     INTEGER,
    incident  INTEGER,
    body      TEXT NOT NULL CHECK (json_valid(body)),
    unique_key  TEXT    -- of what must be told once; NULL: it has none
) STRICT;

CREATE INDEX notices_by_alert ON notices (alert) WHERE alert IS NOT NULL;
CREATE INDEX notices_by_instant ON notices (at);
CREATE UNIQUE INDEX notices_by_key ON notices (unique_key) WHERE unique_key IS NOT NULL;

-- Each notice on its way to each channel: the outbox.
-- state: 0 due, 1 sending, 2 sent, 3 failed for good, 4 merged with another, 5 dropped.
CREATE TABLE deliveries (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    notice       INTEGER NOT NULL REFERENCES notices (id),
    channel      TEXT NOT NULL,
    state        INTEGER NOT NULL CHECK (state IN (0, 1, 2, 3, 4, 5)),
    attempts     INTEGER NOT NULL DEFAULT 0,
    due_at       REAL NOT NULL,              -- when it is to be sent, or sent again
    merged_into  INTEGER,                    -- the delivery that told it, too
    answer       TEXT NOT NULL DEFAULT '',   -- what the receiver answered last, or the fault
    reference    TEXT NOT NULL DEFAULT '',   -- the receiver's name of the message
    done_at      INTEGER,
    UNIQUE (notice, channel)
) STRICT;

CREATE INDEX deliveries_waiting ON deliveries (channel) WHERE state IN (0, 1);
CREATE INDEX deliveries_failed ON deliveries (done_at) WHERE state = 3;
CREATE INDEX deliveries_failed_by_id ON deliveries (id, channel) WHERE state = 3;

-- What is known of each channel of config.toml that was used.
CREATE TABLE channel_states (
    channel     TEXT PRIMARY KEY,
    failures    INTEGER NOT NULL DEFAULT 0,    -- deliveries in a row that failed for good
    paused_at   INTEGER,                       -- NULL: it works
    last_sent   INTEGER,
    last_fault  TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- Attempts of checks that did not see UP. They explain, and never decide a minute.
CREATE TABLE check_faults (
    monitor_id  INTEGER NOT NULL REFERENCES monitors (id),
    at          REAL NOT NULL,                               -- when the attempt began
    status      INTEGER CHECK (status IN (1, 2)),            -- NULL: not measured, by an error of our own
    latency     REAL NOT NULL,                               -- in seconds
    reason      TEXT NOT NULL,                               -- at most 200 characters, without secrets
    phases      TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(phases)),    -- seconds of name, connect, tls, first_byte
    PRIMARY KEY (monitor_id, at)
) STRICT, WITHOUT ROWID;

CREATE INDEX check_faults_by_time ON check_faults (at);

-- The certificates that checks saw. position: 0 the target's own, from 1 on those of its issuers, as they were sent.
CREATE TABLE certificates (
    monitor_id   INTEGER NOT NULL REFERENCES monitors (id),
    fingerprint  BLOB NOT NULL,    -- SHA-256
    position     INTEGER NOT NULL,
    subject      TEXT NOT NULL,
    issuer       TEXT NOT NULL,
    ends         INTEGER NOT NULL,
    fault        TEXT NOT NULL,    -- such as that its name is another; empty: none
    first_seen   INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL,
    PRIMARY KEY (monitor_id, fingerprint)
) STRICT, WITHOUT ROWID;

-- People who sign in at /manage. role: 0 viewer, 1 responder, 2 editor, 3 admin.
-- Instants are UTC seconds; digests are SHA-256 of secrets of 256 random bits, which are not stored.
CREATE TABLE people (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    name            TEXT NOT NULL UNIQUE COLLATE NOCASE,
    email           TEXT NOT NULL DEFAULT '',
    role            INTEGER NOT NULL CHECK (role IN (0, 1, 2, 3)),
    categories      TEXT CHECK (categories IS NULL OR json_valid(categories)),    -- a JSON array of names; NULL: not limited
    password        TEXT,                    -- its Argon2id hash; NULL: none
    code_key        BLOB,                    -- of time-based codes (RFC 6238); NULL: none
    code_step       INTEGER NOT NULL DEFAULT 0,    -- the newest step whose code was used
    locale          TEXT NOT NULL DEFAULT '',      -- empty: that of the browser
    zone            TEXT NOT NULL DEFAULT '',      -- empty: that of [site]
    made_at         INTEGER NOT NULL,
    last_seen       INTEGER,
    inactive_since  INTEGER                  -- NULL: may sign in
) STRICT;


-- Passkeys of people. `data` is the attested credential data of WebAuthn (6.5.2).
CREATE TABLE passkeys (
    id         BLOB PRIMARY KEY,
    person     INTEGER NOT NULL REFERENCES people (id),
    data       BLOB NOT NULL,
    counter    INTEGER NOT NULL,
    name       TEXT NOT NULL,
    made_at    INTEGER NOT NULL,
    last_used  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX passkeys_by_person ON passkeys (person);


-- Codes that stand in for a lost second factor, each once.
CREATE TABLE recovery_codes (
    digest   BLOB PRIMARY KEY,
    person   INTEGER NOT NULL REFERENCES people (id),
    used_at  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX recovery_codes_by_person ON recovery_codes (person);


-- Who a person is at an OpenID Connect provider.
CREATE TABLE identities (
    issuer   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    person   INTEGER NOT NULL REFERENCES people (id),
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_by_person ON identities (person);


-- Links by which a person sets a password or a passkey, each once.
CREATE TABLE invitations (
    digest   BLOB PRIMARY KEY,
    person   INTEGER NOT NULL REFERENCES people (id),
    made_at  INTEGER NOT NULL,
    ends_at  INTEGER NOT NULL,
    used_at  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX invitations_by_person ON invitations (person);


-- Sessions of people who are signed in. `fresh_at`: when they last proved who they are.
CREATE TABLE sessions (
    digest    BLOB PRIMARY KEY,
    person    INTEGER NOT NULL REFERENCES people (id),
    form_key  BLOB NOT NULL,
    made_at   INTEGER NOT NULL,
    seen_at   INTEGER NOT NULL,
    ends_at   INTEGER NOT NULL,
    fresh_at  INTEGER NOT NULL,
    network   TEXT NOT NULL,
    agent     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_person ON sessions (person);


-- Second steps under way, steps of passkeys and OpenID Connect that were completed, and known browsers.
CREATE TABLE challenges (
    digest   BLOB PRIMARY KEY,
    kind     TEXT NOT NULL,
    body     TEXT NOT NULL CHECK (json_valid(body)),
    ends_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;


-- Failed sign-ins: by name, and by network.
CREATE TABLE tries (
    subject   TEXT PRIMARY KEY,    -- name:<name> or network:<network>
    failures  INTEGER NOT NULL,
    since     INTEGER NOT NULL,
    last_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;


-- Forms that were submitted, by their one-time keys, and where each led.
CREATE TABLE submissions (
    digest    BLOB PRIMARY KEY,
    at        INTEGER NOT NULL,
    location  TEXT NOT NULL
) STRICT, WITHOUT ROWID;


-- Who changed what. Rows are only added; `link` is the hash of the row with that of the row before it.
CREATE TABLE audit (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,       -- such as person:ada, token:deploy, command:root, link:ops
    network  TEXT NOT NULL DEFAULT '',
    act      TEXT NOT NULL,
    object   TEXT NOT NULL,
    before   TEXT CHECK (before IS NULL OR json_valid(before)),
    after    TEXT CHECK (after IS NULL OR json_valid(after)),
    link     BLOB NOT NULL
) STRICT;
CREATE INDEX audit_by_instant ON audit (at);
CREATE INDEX audit_by_actor ON audit (actor);
CREATE INDEX audit_by_act ON audit (act);
CREATE INDEX audit_by_object ON audit (object);


-- What was made in the browser or by the API, with the keys of its table in config.toml.
CREATE TABLE managed (
    kind        TEXT NOT NULL CHECK (kind IN ('series', 'template', 'announcement')),
    name        TEXT NOT NULL,
    body        TEXT NOT NULL CHECK (json_valid(body)),
    revision    INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    changed_by  TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Up to when the occurrences of each series were made, and by which begin, zone, rule and length.
CREATE TABLE series_marks (
    series    TEXT PRIMARY KEY,
    schedule  TEXT NOT NULL,
    made_to   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
