-- Cameras that the service watches, and how each was when it was last told.
CREATE TABLE cameras (
    id         BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    stream     TEXT NOT NULL,
    site       TEXT,
    direction  TEXT NOT NULL,
    hours      TEXT,
    every_ms   INTEGER NOT NULL,
    visit_s    INTEGER NOT NULL,
    active     INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX cameras_stream ON cameras (stream) WHERE removed_at IS NULL;
CREATE TABLE camera_states (
    id      BLOB PRIMARY KEY,
    state   TEXT NOT NULL,
    cause   TEXT,
    since   INTEGER NOT NULL,
    told_at INTEGER NOT NULL
) STRICT;
