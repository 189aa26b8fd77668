-- +goose Up
-- +goose StatementBegin
-- Private boxes, channels, files that are declared before they are uploaded or that somebody else keeps, the trash,
-- retention, downloads, and what is known of bytes.

ALTER TABLE boxes ADD COLUMN private    INTEGER NOT NULL DEFAULT 0 CHECK (private IN (0, 1));
ALTER TABLE boxes ADD COLUMN downloads  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE boxes ADD COLUMN keep_last  INTEGER NOT NULL DEFAULT 0 CHECK (keep_last >= 0);
ALTER TABLE boxes ADD COLUMN keep_newer INTEGER NOT NULL DEFAULT 0 CHECK (keep_newer >= 0); -- microseconds
ALTER TABLE boxes ADD COLUMN deleted_at INTEGER;

ALTER TABLE box_versions ADD COLUMN updated_at  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE box_versions ADD COLUMN revoked_why TEXT    NOT NULL DEFAULT '';
ALTER TABLE box_versions ADD COLUMN pinned      INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1));
ALTER TABLE box_versions ADD COLUMN deleted_at  INTEGER;
ALTER TABLE box_versions ADD COLUMN downloads   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE box_versions ADD COLUMN last_used   INTEGER;
-- When a deleted version lost its files. Its row stays, so that its number is never used for other bytes.
ALTER TABLE box_versions ADD COLUMN purged_at   INTEGER;
UPDATE box_versions SET updated_at = coalesce(revoked_at, released_at, created_at);

CREATE TABLE box_channels (
    version_id INTEGER NOT NULL REFERENCES box_versions (id) ON DELETE CASCADE,
    channel    TEXT    NOT NULL,
    since      INTEGER NOT NULL,
    PRIMARY KEY (version_id, channel)
) STRICT, WITHOUT ROWID;
INSERT INTO box_channels SELECT id, 'stable', released_at FROM box_versions WHERE state <> 'draft';

-- Who fetched what, for whoever is about to remove it. client is the name of a user or token, or an address.
CREATE TABLE box_downloads (
    version_id   INTEGER NOT NULL REFERENCES box_versions (id) ON DELETE CASCADE,
    provider     TEXT    NOT NULL,
    architecture TEXT    NOT NULL,
    client       TEXT    NOT NULL,
    count        INTEGER NOT NULL,
    last_at      INTEGER NOT NULL,
    PRIMARY KEY (version_id, provider, architecture, client)
) STRICT, WITHOUT ROWID;

-- What is known of bytes is kept by their digest, and goes with them.
CREATE TABLE blob_contents (
    digest     TEXT    NOT NULL PRIMARY KEY,
    summary    TEXT    NOT NULL CHECK (json_valid(summary)), -- boxfile.Summary
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE blob_packages (
    digest     TEXT    NOT NULL PRIMARY KEY,
    sbom       TEXT    NOT NULL CHECK (json_valid(sbom)), -- CycloneDX
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE blob_signatures (
    digest     TEXT    NOT NULL PRIMARY KEY,
    signature  TEXT    NOT NULL, -- the text of a .minisig file
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A file may be declared before its bytes come (digest '' and url ''), or be kept elsewhere (url). SQLite cannot change
-- the checks of a table, so it is made again.
CREATE TABLE box_files_2 (
    id             INTEGER PRIMARY KEY,
    version_id     INTEGER NOT NULL REFERENCES box_versions (id),
    provider       TEXT    NOT NULL,
    architecture   TEXT    NOT NULL,
    is_default     INTEGER NOT NULL CHECK (is_default IN (0, 1)),
    digest         TEXT    NOT NULL DEFAULT '' CHECK (digest = '' OR length(digest) = 64 AND digest NOT GLOB '*[^0-9a-f]*'),
    url            TEXT    NOT NULL DEFAULT '',
    declared_type  TEXT    NOT NULL DEFAULT '',
    declared_hex   TEXT    NOT NULL DEFAULT '',
    size           INTEGER NOT NULL DEFAULT 0 CHECK (size > 0 OR digest = ''),
    unpacked_size  INTEGER NOT NULL DEFAULT 0,
    virtual_size   INTEGER NOT NULL DEFAULT 0,
    firmware       TEXT    NOT NULL DEFAULT '',
    provenance     TEXT    NOT NULL DEFAULT 'null' CHECK (json_valid(provenance)),
    created_at     INTEGER NOT NULL,
    published_at   INTEGER CHECK (published_at IS NOT NULL OR digest = ''),
    smoke_passed   INTEGER CHECK (smoke_passed IN (0, 1)),
    smoke_detail   TEXT    NOT NULL DEFAULT '',
    smoke_at       INTEGER,
    UNIQUE (version_id, provider, architecture),
    CHECK (digest = '' OR url = '')
) STRICT;
INSERT INTO box_files_2 (id, version_id, provider, architecture, is_default, digest, size, unpacked_size, virtual_size, firmware,
    provenance, created_at, published_at, smoke_passed, smoke_detail, smoke_at)
    SELECT id, version_id, provider, architecture, is_default, digest, size, unpacked_size, virtual_size, firmware,
    provenance, published_at, published_at, smoke_passed, smoke_detail, smoke_at FROM box_files;
DROP TRIGGER box_versions_release_needs_file; -- names the table that goes
DROP TABLE box_files; -- and its triggers
ALTER TABLE box_files_2 RENAME TO box_files;
CREATE UNIQUE INDEX box_files_one_default ON box_files (version_id, provider) WHERE is_default = 1;
CREATE INDEX box_files_digest ON box_files (digest) WHERE digest <> '';

CREATE TRIGGER box_versions_release_needs_file BEFORE UPDATE OF state ON box_versions
WHEN OLD.state = 'draft' AND NEW.state = 'released' AND (
    NOT EXISTS (SELECT 1 FROM box_files WHERE version_id = OLD.id)
    OR EXISTS (SELECT 1 FROM box_files WHERE version_id = OLD.id AND digest = '' AND url = ''))
BEGIN SELECT RAISE(ABORT, 'a released version has at least one file, and all of them whole'); END;

CREATE TRIGGER box_versions_purge BEFORE UPDATE OF purged_at ON box_versions WHEN NEW.purged_at IS NOT OLD.purged_at
    AND (OLD.purged_at IS NOT NULL OR NEW.deleted_at IS NULL OR NEW.state = 'released')
BEGIN SELECT RAISE(ABORT, 'a version is purged once, after it was deleted and revoked'); END;

CREATE TRIGGER box_files_insert BEFORE INSERT ON box_files
WHEN (SELECT state FROM box_versions WHERE id = NEW.version_id) <> 'draft'
BEGIN SELECT RAISE(ABORT, 'files are added to drafts only'); END;

CREATE TRIGGER box_files_update BEFORE UPDATE OF id, version_id, provider, architecture, is_default, digest, url, declared_type,
    declared_hex, size, unpacked_size, virtual_size, firmware, provenance, created_at, published_at ON box_files
WHEN (SELECT state FROM box_versions WHERE id = OLD.version_id) <> 'draft'
    OR (SELECT state FROM box_versions WHERE id = NEW.version_id) <> 'draft'
BEGIN SELECT RAISE(ABORT, 'files of a released version never change'); END;

CREATE TRIGGER box_files_delete BEFORE DELETE ON box_files
WHEN (SELECT state FROM box_versions WHERE id = OLD.version_id) = 'released'
BEGIN SELECT RAISE(ABORT, 'revoke a released version before its files are deleted'); END;
-- +goose StatementEnd
