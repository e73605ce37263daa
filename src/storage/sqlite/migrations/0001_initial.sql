-- The first schema. Identities are 16-byte UUIDs, times milliseconds since 1970, tokens the
-- hexadecimal SHA-256 of the secret. No foreign keys: every record stands for itself, as the
-- ports promise, so that both stores behave alike.

CREATE TABLE employees (
    id         BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    name_key   TEXT NOT NULL,
    code       TEXT NOT NULL,
    -- Lower case; null once deleted, which frees the code.
    code_key   TEXT,
    site       TEXT,
    active     INTEGER NOT NULL,
    consent_at   INTEGER,
    consent_by   TEXT,
    consent_text TEXT,
    templates  INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;
CREATE UNIQUE INDEX employees_code ON employees (code_key);
CREATE INDEX employees_name ON employees (name_key, id);

CREATE TABLE templates (
    id         BLOB PRIMARY KEY,
    employee   BLOB NOT NULL,
    model      TEXT NOT NULL,
    views      TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    nonce      BLOB NOT NULL,
    ciphertext BLOB NOT NULL,
    quality    TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX templates_employee ON templates (employee, created_at, id);
CREATE INDEX templates_model ON templates (model, id);

CREATE TABLE photos (
    id         BLOB PRIMARY KEY,
    employee   BLOB NOT NULL,
    key_id     TEXT NOT NULL,
    nonce      BLOB NOT NULL,
    ciphertext BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX photos_employee ON photos (employee, created_at, id);

-- Whose place in the gallery changed, and when last.
CREATE TABLE gallery_changes (
    employee BLOB PRIMARY KEY,
    at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX gallery_changes_at ON gallery_changes (at);

CREATE TABLE punches (
    id          BLOB PRIMARY KEY,
    employee    BLOB NOT NULL,
    kind        TEXT NOT NULL,
    at          INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    clock       TEXT NOT NULL,
    captured_at INTEGER,
    workday     TEXT NOT NULL,
    site        TEXT,
    source      TEXT NOT NULL,
    device      BLOB NOT NULL,
    similarity  REAL NOT NULL,
    threshold   REAL NOT NULL,
    margin      REAL,
    liveness    REAL,
    model       TEXT NOT NULL,
    frames      INTEGER NOT NULL,
    look        INTEGER NOT NULL,
    request_key TEXT,
    fingerprint TEXT,
    sequence    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX punches_sequence ON punches (employee, sequence);
-- Requests without a key are null here, and nulls are never equal.
CREATE UNIQUE INDEX punches_request ON punches (device, request_key);
CREATE INDEX punches_employee ON punches (employee, at, sequence);
CREATE INDEX punches_device ON punches (device, at, id);
CREATE INDEX punches_clock ON punches (device, clock, at);
CREATE INDEX punches_at ON punches (at, id);

CREATE TABLE kept_answers (
    device      BLOB NOT NULL,
    request_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    answer      TEXT NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (device, request_key)
) STRICT;
CREATE INDEX kept_answers_at ON kept_answers (at);

CREATE TABLE devices (
    id         BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    site       TEXT,
    token      TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE TABLE accounts (
    id            BLOB PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    role          TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    active        INTEGER NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    hash       TEXT PRIMARY KEY,
    account    BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_account ON sessions (account);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE audit (
    id      BLOB PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT
) STRICT;
CREATE INDEX audit_at ON audit (at, id);

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
