-- Sums of whole days; samples in a hot table by minute, and sealed by day.
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

-- Samples move into the sealed days in turns, while the service runs: only the table changes its name here.
ALTER TABLE samples RENAME TO late_samples;

CREATE TABLE samples (
    monitor_id  INTEGER NOT NULL,
    minute      INTEGER NOT NULL CHECK (minute % 60 = 0),
    status      INTEGER NOT NULL CHECK (status IN (0, 1, 2)),
    source      INTEGER NOT NULL CHECK (source IN (0, 1)),
    latency     ANY NOT NULL,
    PRIMARY KEY (minute, monitor_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sealed (
    monitor_id  INTEGER NOT NULL,
    day         INTEGER NOT NULL CHECK (day % 86400 = 0),
    packed      BLOB NOT NULL,
    PRIMARY KEY (monitor_id, day)
) STRICT;

ALTER TABLE service ADD COLUMN hot_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE service ADD COLUMN late_before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE service ADD COLUMN sealed_monitor INTEGER NOT NULL DEFAULT 0;
UPDATE service SET hot_from = (last_seen / 86400 + 1) * 86400, late_before = (last_seen / 86400 + 1) * 86400;

-- Of a clock that was ahead for a time; for each monitor, because that is how they are found without reading all.
INSERT INTO samples (monitor_id, minute, status, source, latency)
SELECT late_samples.monitor_id, minute, status, source, latency
  FROM late_samples
 WHERE monitor_id IN (SELECT id FROM monitors) AND minute >= (SELECT late_before FROM service);
DELETE FROM late_samples
 WHERE monitor_id IN (SELECT id FROM monitors) AND minute >= (SELECT late_before FROM service);

ALTER TABLE monitors ADD COLUMN newest INTEGER;
UPDATE monitors
   SET newest = max(
       coalesce((SELECT max(minute) FROM late_samples WHERE monitor_id = id), -1),
       coalesce((SELECT max(minute) FROM samples WHERE monitor_id = id), -1));
UPDATE monitors SET newest = NULL WHERE newest < 0;

-- The newest failed deliveries, of a channel, without sorting all of them.
CREATE INDEX deliveries_failed_by_id ON deliveries (id, channel) WHERE state = 3;
