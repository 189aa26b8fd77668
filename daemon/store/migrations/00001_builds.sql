-- +goose Up
-- +goose StatementBegin
CREATE TABLE builds (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of submission, which is the order of the queue
    id         TEXT    NOT NULL UNIQUE,
    run        TEXT    NOT NULL,                  -- one for all builds of a command
    label      TEXT    NOT NULL,
    template   TEXT    NOT NULL,
    box        TEXT    NOT NULL DEFAULT '',
    version    TEXT    NOT NULL DEFAULT '',
    state      TEXT    NOT NULL,
    attempt    INTEGER NOT NULL DEFAULT 0,
    step       TEXT    NOT NULL DEFAULT '',
    error      TEXT    NOT NULL DEFAULT '',
    cpus       INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    parallel   INTEGER NOT NULL DEFAULT 0,        -- builds of the run that may run at once; 0 for any number
    created    TEXT    NOT NULL,
    started    TEXT    NOT NULL DEFAULT '',
    finished   TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX builds_state ON builds (state);

-- Final states are never rewritten, whatever code tries to.
CREATE TRIGGER builds_final BEFORE UPDATE OF state ON builds
WHEN OLD.state IN ('succeeded', 'failed', 'errored', 'canceled', 'interrupted') AND NEW.state <> OLD.state
BEGIN
    SELECT RAISE(ABORT, 'the build has ended; its state is final');
END;

CREATE TABLE steps (
    build   TEXT    NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    phase   TEXT    NOT NULL,
    began   TEXT    NOT NULL,
    seconds REAL    NOT NULL DEFAULT 0,
    PRIMARY KEY (build, attempt, seq)
) STRICT, WITHOUT ROWID;

-- The ledger: what attempts hold outside this process. A row is written before its effect.
CREATE TABLE resources (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    build   TEXT    NOT NULL,
    attempt INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    data    TEXT    NOT NULL DEFAULT '',
    UNIQUE (build, attempt, kind, name)
) STRICT;

-- Facts of this data directory, such as its random installation id.
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- +goose StatementEnd
