-- When and how often incidents were edited, and the identity of the database.
ALTER TABLE incidents ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
-- An edit that left no other trace is not known; the latest instant that is known stands for it.
UPDATE incidents
   SET updated_at = max(
           created_at,
           coalesce(resolved_at, created_at),
           CASE WHEN closed_at <= CAST(strftime('%s', 'now') AS INTEGER) THEN closed_at ELSE created_at END,
           coalesce((SELECT max(comments.created_at) FROM comments WHERE comments.number = incidents.number),
                    created_at)
       );

-- What is resolved has an end: without one of its author the moment of resolving.
UPDATE incidents SET "end" = max(start, resolved_at), ended_by_resolving = 1
 WHERE is_resolved AND "end" IS NULL AND resolved_at IS NOT NULL;

-- What lasts beyond the last instant that every zone can show as a date (9999-12-29T23:59:59Z) lasts until then.
UPDATE incidents
   SET start = min(start, 253402127999), "end" = min("end", 253402127999), closed_at = min(closed_at, 253402127999)
 WHERE start > 253402127999 OR "end" > 253402127999 OR closed_at > 253402127999;

ALTER TABLE service ADD COLUMN identity TEXT NOT NULL DEFAULT '';
UPDATE service
   SET identity = lower(
           hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
           || '-8' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))
       );

-- A latency beyond the largest that is accepted (10^12) is read as that one, so quarters with one are counted again.
INSERT INTO dirty (monitor_id, start, "end")
SELECT monitor_id, quarter, quarter + 900 FROM quarters WHERE typeof(latency_max) = 'real' AND latency_max > 1e12
    ON CONFLICT DO NOTHING;

-- Deadlines now begin anew after maintenance and changes of settings, follow cron(8), and no default speaks inside
-- a gap, so everything that was counted of monitors with an expectation or a default is counted again.
INSERT INTO dirty (monitor_id, start, "end")
SELECT monitors.id, kept_from, rolled_until
  FROM monitors, service
 WHERE kept_from < rolled_until
   AND monitors.id IN (SELECT monitor_id FROM settings
                         WHERE json_extract(body, '$.expectation') IS NOT NULL
                            OR json_extract(body, '$.default_status') IS NOT NULL)
    ON CONFLICT (monitor_id, start) DO UPDATE SET "end" = max("end", excluded."end");

-- A device belongs to a token. Where more than one token of its sender's name is valid, which one is not known: the
-- device stays under the name, and each of these tokens begins a device of its own.
ALTER TABLE tokens ADD COLUMN sender TEXT;
WITH owners (name, id, count) AS (
    SELECT name, min(id), count(*) FROM tokens
     WHERE digest IS NULL AND revoked_at IS NULL
       AND (expires_at IS NULL OR expires_at > CAST(strftime('%s', 'now') AS INTEGER))
     GROUP BY name
)
UPDATE devices SET sender = owners.id FROM owners WHERE owners.name = devices.sender AND owners.count = 1;

ALTER TABLE devices ADD COLUMN recent TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(recent));
CREATE TABLE clock_offsets (
    device_id  INTEGER NOT NULL REFERENCES devices (id),
    hour       INTEGER NOT NULL CHECK (hour % 3600 = 0),
    smallest   INTEGER NOT NULL,
    PRIMARY KEY (device_id, hour)
) STRICT, WITHOUT ROWID;
INSERT INTO clock_offsets (device_id, hour, smallest)
SELECT id, last_heard - last_heard % 3600, clock_offset FROM devices WHERE clock_offset IS NOT NULL;

-- When jobs said that they began; one that does not report its end within its grace is late.
CREATE TABLE starts (
    monitor_id  INTEGER NOT NULL REFERENCES monitors (id),
    started_at  INTEGER NOT NULL,      -- UTC seconds, by this server's clock
    PRIMARY KEY (monitor_id, started_at)
) STRICT, WITHOUT ROWID;
