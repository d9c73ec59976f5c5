-- People, sessions, the audit log; states of incidents, impacts per monitor, maintenance that repeats.
CREATE TABLE people (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    name            TEXT NOT NULL UNIQUE COLLATE NOCASE,
    email           TEXT NOT NULL DEFAULT '',
    role            INTEGER NOT NULL CHECK (role IN (0, 1, 2, 3)),
    categories      TEXT CHECK (categories IS NULL OR json_valid(categories)),
    password        TEXT,
    code_key        BLOB,
    code_step       INTEGER NOT NULL DEFAULT 0,
    locale          TEXT NOT NULL DEFAULT '',
    zone            TEXT NOT NULL DEFAULT '',
    made_at         INTEGER NOT NULL,
    last_seen       INTEGER,
    inactive_since  INTEGER
) STRICT;

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

CREATE TABLE recovery_codes (
    digest   BLOB PRIMARY KEY,
    person   INTEGER NOT NULL REFERENCES people (id),
    used_at  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX recovery_codes_by_person ON recovery_codes (person);

CREATE TABLE identities (
    issuer   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    person   INTEGER NOT NULL REFERENCES people (id),
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_by_person ON identities (person);

CREATE TABLE invitations (
    digest   BLOB PRIMARY KEY,
    person   INTEGER NOT NULL REFERENCES people (id),
    made_at  INTEGER NOT NULL,
    ends_at  INTEGER NOT NULL,
    used_at  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX invitations_by_person ON invitations (person);

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

CREATE TABLE challenges (
    digest   BLOB PRIMARY KEY,
    kind     TEXT NOT NULL,
    body     TEXT NOT NULL CHECK (json_valid(body)),
    ends_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tries (
    subject   TEXT PRIMARY KEY,
    failures  INTEGER NOT NULL,
    since     INTEGER NOT NULL,
    last_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE submissions (
    digest    BLOB PRIMARY KEY,
    at        INTEGER NOT NULL,
    location  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,
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

ALTER TABLE service ADD COLUMN audit_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE service ADD COLUMN audit_link BLOB;

CREATE TABLE managed (
    kind        TEXT NOT NULL CHECK (kind IN ('series', 'template', 'announcement')),
    name        TEXT NOT NULL,
    body        TEXT NOT NULL CHECK (json_valid(body)),
    revision    INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    changed_by  TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE series_marks (
    series    TEXT PRIMARY KEY,
    schedule  TEXT NOT NULL,
    made_to   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE incidents ADD COLUMN postmortem TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN postmortem_at INTEGER;
ALTER TABLE incidents ADD COLUMN series TEXT;
ALTER TABLE incidents ADD COLUMN occurrence TEXT;
ALTER TABLE incidents ADD COLUMN is_changed INTEGER NOT NULL DEFAULT 0 CHECK (is_changed IN (0, 1));
ALTER TABLE incidents ADD COLUMN announce TEXT CHECK (announce IS NULL OR json_valid(announce));
CREATE INDEX incidents_announced ON incidents (start) WHERE announce IS NOT NULL;
UPDATE incidents SET is_identified = 1 WHERE is_monitoring = 1;
CREATE UNIQUE INDEX incidents_by_occurrence ON incidents (series, occurrence) WHERE series IS NOT NULL;

ALTER TABLE incident_monitors ADD COLUMN impact INTEGER CHECK (impact IN (0, 1, 2));

ALTER TABLE comments RENAME TO updates;
DROP INDEX comments_by_incident;
CREATE INDEX updates_by_incident ON updates (number, id);
ALTER TABLE updates ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
UPDATE updates SET at = created_at;
ALTER TABLE updates ADD COLUMN state INTEGER CHECK (state IN (0, 1, 2, 3));
ALTER TABLE updates ADD COLUMN impacts TEXT CHECK (impacts IS NULL OR json_valid(impacts));
ALTER TABLE updates ADD COLUMN author TEXT NOT NULL DEFAULT '';
ALTER TABLE updates ADD COLUMN edited_at INTEGER;

ALTER TABLE notices ADD COLUMN unique_key TEXT;
CREATE UNIQUE INDEX notices_by_key ON notices (unique_key) WHERE unique_key IS NOT NULL;
