-- The whole schema of a new database (version 2; older ones reach it by kener_async/store/migrations).
--
-- Four layers are stored and never mixed: samples, incidents, settings, gaps. What is shown is a pure function
-- of them (docs/uptime.md); `quarters` is the only aggregate, and can be made again from the layers.
--
-- Instants are whole UTC seconds. `minute` and `quarter` are the instants at which one begins.
-- status: 0 UP, 1 DEGRADED, 2 DOWN.   source: 0 pushed, 1 checked.
-- A latency of type INTEGER is in millionths of the sender's unit, of type REAL in that unit: a number with up
-- to six decimals takes a third of the space, and each number is read back as it was sent.

-- One row: what the server remembers of itself.
CREATE TABLE service (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    last_seen     INTEGER NOT NULL,    -- it was running then
    rolled_until  INTEGER NOT NULL,    -- each quarter before this one has been marked dirty once
    kept_from     INTEGER NOT NULL     -- samples and quarters before this instant have been dropped
) STRICT;

CREATE TABLE monitors (
    id          INTEGER PRIMARY KEY,
    tag         TEXT NOT NULL UNIQUE,
    last_heard  INTEGER    -- when a report of it last came in, about whatever minute; NULL: not known
) STRICT;

-- The settings that decide a minute's status, and since when: a version holds until the next one.
CREATE TABLE settings (
    monitor_id  INTEGER NOT NULL REFERENCES monitors (id),
    since       INTEGER NOT NULL,
    body        TEXT NOT NULL CHECK (json_valid(body)),
    PRIMARY KEY (monitor_id, since)
) STRICT, WITHOUT ROWID;

CREATE TABLE samples (
    monitor_id  INTEGER NOT NULL,
    minute      INTEGER NOT NULL CHECK (minute % 60 = 0),
    status      INTEGER NOT NULL CHECK (status IN (0, 1, 2)),
    source      INTEGER NOT NULL CHECK (source IN (0, 1)),
    latency     ANY NOT NULL,
    PRIMARY KEY (monitor_id, minute)
) STRICT, WITHOUT ROWID;

-- Spans [start, end) in which the server itself was not running.
CREATE TABLE gaps (
    id     INTEGER PRIMARY KEY,
    start  INTEGER NOT NULL,
    "end"  INTEGER NOT NULL CHECK ("end" > start)
) STRICT;

-- closed_at: the moment it was resolved or its end passed, whichever was first.
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
    ended_by_resolving  INTEGER NOT NULL CHECK (ended_by_resolving IN (0, 1))
) STRICT;

CREATE INDEX incidents_open ON incidents (created_at) WHERE closed_at IS NULL;

CREATE TABLE incident_monitors (
    number      INTEGER NOT NULL REFERENCES incidents (number),
    position    INTEGER NOT NULL,    -- in the order the tags were sent
    monitor_id  INTEGER NOT NULL REFERENCES monitors (id),
    PRIMARY KEY (number, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX incident_monitors_by_monitor ON incident_monitors (monitor_id, number);

CREATE TABLE comments (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    number      INTEGER NOT NULL REFERENCES incidents (number),
    body        TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX comments_by_incident ON comments (number, id);

-- Minutes of each status, and the latency of the samples, in a quarter-hour; a quarter of zeros has no row.
-- Degraded minutes that the settings of their time count as downtime are counted twice, in both columns.
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

-- Spans [start, end) of quarters that may differ from what the layers say now. They are marked in the
-- transaction that changes a layer, and unmarked in the one that counts the quarters again.
CREATE TABLE dirty (
    monitor_id  INTEGER NOT NULL,
    start       INTEGER NOT NULL CHECK (start % 900 = 0),
    "end"       INTEGER NOT NULL CHECK ("end" % 900 = 0 AND "end" > start),
    PRIMARY KEY (monitor_id, start)
) STRICT, WITHOUT ROWID;

-- Every token made here, and every one made elsewhere that was revoked here. Never the token itself.
CREATE TABLE tokens (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    scopes      TEXT NOT NULL,
    tags        TEXT,                -- a JSON array of patterns; NULL: every monitor
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,             -- NULL: never
    last_used   INTEGER,
    revoked_at  INTEGER,
    digest      BLOB                 -- the SHA-256 of a beat key; NULL: it is a JWT
) STRICT, WITHOUT ROWID;

-- What reports in batches under a name of its own, and may number what it sends. The name belongs to the
-- sender, which is the subject of its token: the same name from another sender is another device.
CREATE TABLE devices (
    id            INTEGER PRIMARY KEY,
    sender        TEXT NOT NULL,
    name          TEXT NOT NULL,
    last_heard    INTEGER NOT NULL,    -- by this server's clock
    newest        INTEGER NOT NULL,    -- the newest minute it has spoken of; 0: none yet
    clock_offset  INTEGER,             -- seconds its clock was behind this server's when it last said its time
    floor         INTEGER NOT NULL,    -- numbers below this one are not known one by one any more
    lost          INTEGER NOT NULL,    -- numbers given up: below the floor, or of before its numbers began anew
    restarts      INTEGER NOT NULL,    -- how often its numbers began anew
    UNIQUE (sender, name)
) STRICT;

-- The monitors each device has reported.
CREATE TABLE device_monitors (
    device_id   INTEGER NOT NULL REFERENCES devices (id),
    monitor_id  INTEGER NOT NULL REFERENCES monitors (id),
    PRIMARY KEY (device_id, monitor_id)
) STRICT, WITHOUT ROWID;

-- The numbers a device has been heard with, as disjoint spans [first, last] from its floor on.
CREATE TABLE heard (
    device_id  INTEGER NOT NULL REFERENCES devices (id),
    first      INTEGER NOT NULL,
    last       INTEGER NOT NULL CHECK (last >= first),
    PRIMARY KEY (device_id, first)
) STRICT, WITHOUT ROWID;

-- The highest number a device has spoken with for a minute; kept only while a lower one may still come.
CREATE TABLE claims (
    device_id   INTEGER NOT NULL REFERENCES devices (id),
    monitor_id  INTEGER NOT NULL,
    minute      INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    PRIMARY KEY (device_id, monitor_id, minute)
) STRICT, WITHOUT ROWID;

-- When each boot of a device began, by this server's clock: what its monotonic clock counts from.
CREATE TABLE boots (
    device_id  INTEGER NOT NULL REFERENCES devices (id),
    boot       TEXT NOT NULL,
    began_at   REAL NOT NULL,
    PRIMARY KEY (device_id, boot)
) STRICT, WITHOUT ROWID;

-- Jobs that have said they began and not yet that they ended.
CREATE TABLE runs (
    monitor_id  INTEGER NOT NULL REFERENCES monitors (id),
    run         TEXT NOT NULL,         -- as the job names this run of it; empty: it does not
    started_at  REAL NOT NULL,         -- by this server's clock
    PRIMARY KEY (monitor_id, run)
) STRICT, WITHOUT ROWID;
