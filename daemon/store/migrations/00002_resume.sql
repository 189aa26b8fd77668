-- +goose Up
-- +goose StatementBegin
-- A build that did not succeed may be queued again, for another attempt; nothing else changes a final state.
DROP TRIGGER builds_final;
CREATE TRIGGER builds_final BEFORE UPDATE OF state ON builds
WHEN OLD.state IN ('succeeded', 'failed', 'errored', 'canceled', 'interrupted') AND NEW.state <> OLD.state
    AND NOT (NEW.state = 'queued' AND OLD.state <> 'succeeded')
BEGIN
    SELECT RAISE(ABORT, 'the build has ended; its state is final');
END;
-- +goose StatementEnd
