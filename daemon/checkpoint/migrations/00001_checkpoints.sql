-- +goose Up
-- +goose StatementBegin
CREATE TABLE checkpoints (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which they were begun
    id          TEXT    NOT NULL UNIQUE,           -- names the directory
    state       TEXT    NOT NULL,                  -- draft, whole, layer, bad, trash: see state.go
    user        TEXT    NOT NULL,                  -- the build that made it
    parent      TEXT    NOT NULL DEFAULT '',       -- whose disks its disks are overlays of
    fingerprint TEXT    NOT NULL DEFAULT '',
    label       TEXT    NOT NULL DEFAULT '',
    template    TEXT    NOT NULL DEFAULT '',
    stage       TEXT    NOT NULL DEFAULT '',
    meta        TEXT    NOT NULL DEFAULT '',       -- Meta as JSON
    manifest    TEXT    NOT NULL DEFAULT '',       -- sha256 of the manifest
    bytes       INTEGER NOT NULL DEFAULT 0,        -- allocated on disk
    disk_bytes  INTEGER NOT NULL DEFAULT 0,        -- of them, what is left when it becomes a layer
    stripped    INTEGER NOT NULL DEFAULT 0,        -- 1 once nothing but the disks is left
    created     TEXT    NOT NULL,
    used        TEXT    NOT NULL,
    turn        INTEGER NOT NULL                   -- the order of last use
) STRICT;
CREATE INDEX checkpoints_fingerprint ON checkpoints (fingerprint);
CREATE INDEX checkpoints_parent ON checkpoints (parent);

-- Who uses a checkpoint's files. A build may hold several leases of one checkpoint.
CREATE TABLE checkpoint_leases (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    checkpoint TEXT NOT NULL REFERENCES checkpoints (id) ON DELETE CASCADE,
    user       TEXT NOT NULL
) STRICT;
CREATE INDEX checkpoint_leases_checkpoint ON checkpoint_leases (checkpoint);
CREATE INDEX checkpoint_leases_user ON checkpoint_leases (user);
-- +goose StatementEnd
