-- +goose Up
-- +goose StatementBegin
CREATE TABLE tokens (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    name      TEXT NOT NULL,
    hash      TEXT NOT NULL UNIQUE, -- sha256 of the token, hex; the token itself is nowhere
    scope     TEXT NOT NULL,
    created   TEXT NOT NULL,
    expires   TEXT NOT NULL DEFAULT '',
    last_used TEXT NOT NULL DEFAULT '',
    revoked   TEXT NOT NULL DEFAULT ''
) STRICT;
-- +goose StatementEnd
