"""Limits of free disk space, in bytes."""

MIB = 1 << 20

# Below this /readyz answers 503 and the doctor fails: SQLite needs room for its log to store a batch.
REQUIRED = 32 * MIB
# Below this the doctor warns, so that there is time to make room.
RECOMMENDED = 1024 * MIB
# Left beside a copy of the database, because a server goes on writing while it is copied.
BESIDE_A_COPY = 16 * MIB
