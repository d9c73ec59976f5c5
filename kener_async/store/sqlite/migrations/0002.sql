-- Devices that report in batches, push keys, starts of jobs, and when each monitor was last heard.
ALTER TABLE monitors ADD COLUMN last_heard INTEGER;
ALTER TABLE tokens ADD COLUMN digest BLOB;

-- Devices, which report in batches under a name and may number their samples. A name belongs to a sender, the
-- subject of the token: the same name from another sender is another device.
CREATE TABLE devices (
    id            INTEGER PRIMARY KEY,
    sender        TEXT NOT NULL,
    name          TEXT NOT NULL,
    last_heard    INTEGER NOT NULL,    -- by this server's clock
    newest        INTEGER NOT NULL,    -- the newest minute it has reported; 0: none yet
    clock_offset  INTEGER,             -- seconds its clock was behind this server's when it last sent its time
    floor         INTEGER NOT NULL,    -- numbers below this one are no longer stored one by one
    lost          INTEGER NOT NULL,    -- missing numbers given up: below the floor, or before a restart
    restarts      INTEGER NOT NULL,    -- how often its numbers started over
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

-- Runs of jobs that have reported their start and not yet their end.
CREATE TABLE runs (
    monitor_id  INTEGER NOT NULL REFERENCES monitors (id),
    run         TEXT NOT NULL,         -- the id that the job gives this run; empty: none
    started_at  REAL NOT NULL,         -- by this server's clock
    PRIMARY KEY (monitor_id, run)
) STRICT, WITHOUT ROWID;
