-- Devices that report in batches, beat keys, jobs that say when they begin, and when a monitor was last heard.
ALTER TABLE monitors ADD COLUMN last_heard INTEGER;
ALTER TABLE tokens ADD COLUMN digest BLOB;

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
