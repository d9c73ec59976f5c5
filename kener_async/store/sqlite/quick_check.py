"""SQLite's quick check, table by table: small tables before each start, large ones beside the service."""

import sqlite3

SMALL_TABLES = (
    "service",
    "monitors",
    "settings",
    "gaps",
    "incidents",
    "incident_monitors",
    "tokens",
    "devices",
    "device_monitors",
    "boots",
    "runs",
    "channel_states",
    "certificates",
    "people",
    "passkeys",
    "recovery_codes",
    "identities",
    "invitations",
    "sessions",
    "challenges",
    "tries",
    "submissions",
    "managed",
    "series_marks",
)
LARGE_TABLES = (
    "dirty",
    "updates",
    "samples",
    "late_samples",
    "sealed",
    "quarters",
    "days",
    "heard",
    "claims",
    "alerts",
    "notices",
    "deliveries",
    "check_faults",
    "audit",
)


def check_table(connection: sqlite3.Connection, table: str) -> None:
    """Run the quick check on one table; raises sqlite3.DatabaseError with the first fault."""
    (answer,) = connection.execute(f"PRAGMA quick_check('{table}')").fetchone()
    if answer != "ok":
        raise sqlite3.DatabaseError(f"damaged: {answer}")
