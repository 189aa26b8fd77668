-- +goose Up
-- +goose StatementBegin
-- A machine was left to its user and stands on these disks: no restart of the daemon ends the lease.
ALTER TABLE checkpoint_leases ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
-- +goose StatementEnd
