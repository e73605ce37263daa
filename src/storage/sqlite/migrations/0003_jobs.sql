-- Background jobs. due is when one may be claimed; null once it has ended.
CREATE TABLE jobs (
    id          BLOB PRIMARY KEY,
    kind        TEXT NOT NULL,
    payload     TEXT NOT NULL,
    once        TEXT UNIQUE,
    state       TEXT NOT NULL,
    due         INTEGER,
    turn        INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    done        INTEGER NOT NULL,
    total       INTEGER NOT NULL,
    result      TEXT,
    error       TEXT,
    created_by  TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;
CREATE INDEX jobs_due ON jobs (due, id) WHERE due IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
