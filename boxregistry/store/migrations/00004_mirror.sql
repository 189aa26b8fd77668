-- +goose Up
-- +goose StatementBegin
-- What is kept of other registries. It is no part of the boxes of this one: a released version never changes, and of a
-- mirrored one a file comes when somebody asks for it, and what its registry takes back goes here too.

CREATE TABLE mirror_catalogs (
    org        TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    body       TEXT    NOT NULL CHECK (json_valid(body)),
    fetched_at INTEGER NOT NULL,
    PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE mirror_files (
    org          TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    version      TEXT    NOT NULL,
    provider     TEXT    NOT NULL,
    architecture TEXT    NOT NULL,
    source       TEXT    NOT NULL, -- the checksum or the address of the bytes, as the catalog gave it
    digest       TEXT    NOT NULL CHECK (length(digest) = 64 AND digest NOT GLOB '*[^0-9a-f]*'),
    size         INTEGER NOT NULL CHECK (size > 0),
    fetched_at   INTEGER NOT NULL,
    PRIMARY KEY (org, name, version, provider, architecture)
) STRICT, WITHOUT ROWID;
CREATE INDEX mirror_files_digest ON mirror_files (digest); -- collection asks whether a blob is in use

-- Every digest that something names: collection keeps these.
CREATE VIEW named_blobs AS
    SELECT digest FROM box_files WHERE digest <> ''
    UNION ALL SELECT digest FROM mirror_files;
-- +goose StatementEnd
