-- Pictures that a site keeps for a while, of punches and of unknown faces, sealed.
CREATE TABLE pictures (
    id         BLOB PRIMARY KEY,
    at         INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    -- Null for unknown faces, and nulls are never equal.
    punch      BLOB UNIQUE,
    employee   BLOB,
    source     TEXT NOT NULL,
    device     BLOB NOT NULL,
    key_id     TEXT NOT NULL,
    nonce      BLOB NOT NULL,
    ciphertext BLOB NOT NULL
) STRICT;
CREATE INDEX pictures_kind ON pictures (kind, at, id);
CREATE INDEX pictures_employee ON pictures (employee);
