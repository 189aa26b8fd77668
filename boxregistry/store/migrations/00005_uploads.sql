-- +goose Up
-- +goose StatementBegin
-- The doors that stand open for the bytes of files. A box or version may be deleted under one, so they are named and not
-- referred to.
CREATE TABLE box_uploads (
    key                 TEXT    NOT NULL PRIMARY KEY, -- of a resumable upload its id, else the SHA-256 of its secret
    resumable           INTEGER NOT NULL CHECK (resumable IN (0, 1)),
    org                 TEXT    NOT NULL,
    name                TEXT    NOT NULL,
    version             TEXT    NOT NULL,
    provider            TEXT    NOT NULL,
    architecture        TEXT    NOT NULL,
    is_default          INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),
    private             INTEGER NOT NULL DEFAULT 0 CHECK (private IN (0, 1)),
    box_description     TEXT    NOT NULL DEFAULT '',
    version_description TEXT    NOT NULL DEFAULT '',
    replace_digest      TEXT    NOT NULL DEFAULT '', -- of the file that it may take the place of
    size                INTEGER NOT NULL DEFAULT 0 CHECK (size >= 0),     -- announced
    digest              TEXT    NOT NULL DEFAULT '', -- announced
    received            INTEGER NOT NULL DEFAULT 0 CHECK (received >= 0), -- bytes that are on the disk
    hash                BLOB    NOT NULL DEFAULT x'', -- state of their SHA-256
    came                TEXT    NOT NULL DEFAULT '', -- digest of what was published at the end
    by_token            TEXT    NOT NULL DEFAULT '', -- who began it
    by_user             TEXT    NOT NULL DEFAULT '',
    created_at          INTEGER NOT NULL,
    expires_at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX box_uploads_expiry ON box_uploads (expires_at);
-- +goose StatementEnd
