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
