-- +goose Up
-- +goose StatementBegin
-- Times are microseconds since 1970, sizes are bytes.

CREATE TABLE boxes (
    id                INTEGER PRIMARY KEY,
    org               TEXT    NOT NULL,
    name              TEXT    NOT NULL,
    short_description TEXT    NOT NULL DEFAULT '',
    description       TEXT    NOT NULL DEFAULT '',
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    UNIQUE (org, name)
) STRICT;

-- Names that differ only in case would be one directory on a Mac and one volume name in people's heads.
CREATE UNIQUE INDEX boxes_nocase ON boxes (org COLLATE NOCASE, name COLLATE NOCASE);

CREATE TABLE box_versions (
    id          INTEGER PRIMARY KEY,
    box_id      INTEGER NOT NULL REFERENCES boxes (id),
    number      TEXT    NOT NULL,
    sort_key    BLOB    NOT NULL, -- orders as Gem::Version does; equal for equal versions, so 1.0 and 1.0.0 collide
    state       TEXT    NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'released', 'revoked')),
    description TEXT    NOT NULL DEFAULT '',
    created_at  INTEGER NOT NULL,
    released_at INTEGER,
    revoked_at  INTEGER,
    UNIQUE (box_id, sort_key),
    CHECK ((state = 'draft') = (released_at IS NULL)),
    CHECK ((state = 'revoked') = (revoked_at IS NOT NULL))
) STRICT;

CREATE TABLE box_files (
    id            INTEGER PRIMARY KEY,
    version_id    INTEGER NOT NULL REFERENCES box_versions (id),
    provider      TEXT    NOT NULL,
    architecture  TEXT    NOT NULL,
    is_default    INTEGER NOT NULL CHECK (is_default IN (0, 1)),
    digest        TEXT    NOT NULL CHECK (length(digest) = 64 AND digest NOT GLOB '*[^0-9a-f]*'),
    size          INTEGER NOT NULL CHECK (size > 0),
    unpacked_size INTEGER NOT NULL DEFAULT 0,
    virtual_size  INTEGER NOT NULL DEFAULT 0,
    firmware      TEXT    NOT NULL DEFAULT '',
    provenance    TEXT    NOT NULL DEFAULT 'null' CHECK (json_valid(provenance)),
    published_at  INTEGER NOT NULL,
    smoke_passed  INTEGER CHECK (smoke_passed IN (0, 1)),
    smoke_detail  TEXT    NOT NULL DEFAULT '',
    smoke_at      INTEGER,
    UNIQUE (version_id, provider, architecture)
) STRICT;

CREATE UNIQUE INDEX box_files_one_default ON box_files (version_id, provider) WHERE is_default = 1;
CREATE INDEX box_files_digest ON box_files (digest);

-- What has been released never changes, whoever holds the database and whatever program he uses.

CREATE TRIGGER box_versions_begin_as_draft BEFORE INSERT ON box_versions WHEN NEW.state <> 'draft'
BEGIN SELECT RAISE(ABORT, 'a version begins as a draft'); END;

CREATE TRIGGER box_versions_states BEFORE UPDATE OF state ON box_versions
WHEN (OLD.state, NEW.state) NOT IN (VALUES ('draft', 'draft'), ('draft', 'released'), ('released', 'released'),
    ('released', 'revoked'), ('revoked', 'revoked'))
BEGIN SELECT RAISE(ABORT, 'a version goes from draft to released to revoked'); END;

CREATE TRIGGER box_versions_release_needs_file BEFORE UPDATE OF state ON box_versions
WHEN OLD.state = 'draft' AND NEW.state = 'released' AND NOT EXISTS (SELECT 1 FROM box_files WHERE version_id = OLD.id)
BEGIN SELECT RAISE(ABORT, 'a released version has at least one file'); END;

CREATE TRIGGER box_versions_identity BEFORE UPDATE OF id, box_id, number, sort_key, created_at, released_at, revoked_at ON box_versions
WHEN OLD.id <> NEW.id OR OLD.box_id <> NEW.box_id OR OLD.number <> NEW.number OR OLD.sort_key <> NEW.sort_key
    OR OLD.created_at <> NEW.created_at OR OLD.released_at <> NEW.released_at OR OLD.revoked_at <> NEW.revoked_at
BEGIN SELECT RAISE(ABORT, 'a version keeps its box, its number and its dates'); END;

CREATE TRIGGER box_versions_no_delete BEFORE DELETE ON box_versions WHEN OLD.state = 'released'
BEGIN SELECT RAISE(ABORT, 'revoke a released version before it is deleted'); END;

CREATE TRIGGER box_files_insert BEFORE INSERT ON box_files
WHEN (SELECT state FROM box_versions WHERE id = NEW.version_id) <> 'draft'
BEGIN SELECT RAISE(ABORT, 'files are added to drafts only'); END;

CREATE TRIGGER box_files_update BEFORE UPDATE OF id, version_id, provider, architecture, is_default, digest, size, unpacked_size,
    virtual_size, firmware, provenance, published_at ON box_files
WHEN (SELECT state FROM box_versions WHERE id = OLD.version_id) <> 'draft'
    OR (SELECT state FROM box_versions WHERE id = NEW.version_id) <> 'draft'
BEGIN SELECT RAISE(ABORT, 'files of a released version never change'); END;

CREATE TRIGGER box_files_delete BEFORE DELETE ON box_files
WHEN (SELECT state FROM box_versions WHERE id = OLD.version_id) = 'released'
BEGIN SELECT RAISE(ABORT, 'revoke a released version before its files are deleted'); END;
-- +goose StatementEnd
