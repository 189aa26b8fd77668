-- +goose Up
-- +goose StatementBegin
-- Users, organisations and who may do what in which.

CREATE TABLE users (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT NOT NULL,
    password TEXT NOT NULL DEFAULT '', -- bcrypt; empty for a user who has tokens only
    scope    TEXT NOT NULL DEFAULT '', -- what he may do everywhere; empty for nothing
    created  TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX users_name ON users (name COLLATE NOCASE);

-- An organisation owns boxes. Each user has one of his name besides, which has no row here.
CREATE TABLE orgs (
    name    TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
    created TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    org     TEXT    NOT NULL COLLATE NOCASE REFERENCES orgs (name) ON DELETE CASCADE,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    scope   TEXT    NOT NULL,
    PRIMARY KEY (org, user_id)
) STRICT, WITHOUT ROWID;

ALTER TABLE tokens ADD COLUMN user_id INTEGER REFERENCES users (id) ON DELETE SET NULL;

CREATE TABLE token_orgs (
    token_id INTEGER NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    org      TEXT    NOT NULL COLLATE NOCASE,
    scope    TEXT    NOT NULL,
    PRIMARY KEY (token_id, org)
) STRICT, WITHOUT ROWID;
-- +goose StatementEnd
