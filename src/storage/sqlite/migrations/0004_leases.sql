-- What one instance has to itself for a while. Nobody has it when holder is null; the fence stays.
CREATE TABLE leases (
    name   TEXT PRIMARY KEY,
    holder TEXT,
    fence  INTEGER NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
