-- What is cached for instances that share no Redis. None of it is a record.
CREATE TABLE cache (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    until INTEGER NOT NULL
) STRICT;
CREATE INDEX cache_end ON cache (until);
