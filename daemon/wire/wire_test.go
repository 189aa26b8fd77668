package wire_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"testing"

	"github.com/boxkiln/boxkiln/daemon/wire"
)

// A code without a status would be sent as status 0, and two codes of one status could not be told apart by simple clients.
func TestEveryCodeHasAStatusOfItsOwn(t *testing.T) {
	t.Parallel()
	codes := map[int]wire.Code{}
	for code, status := range wire.Status {
		if http.StatusText(status) == "" || status < 400 {
			t.Errorf("%s has status %d", code, status)
		}
		if other, ok := codes[status]; ok {
			t.Errorf("%s and %s both have status %d", code, other, status)
		}
		codes[status] = code
	}
}

// The cause of an error is for the server's log; only code and message travel.
func TestErrorKeepsItsCauseHere(t *testing.T) {
	t.Parallel()
	err := wire.Errorf(wire.CodeNotFound, "the output %s: %w", "box", fs.ErrNotExist)
	if !errors.Is(err, fs.ErrNotExist) || err.Error() != "the output box: file does not exist" {
		t.Error(err)
	}
	data, jsonErr := json.Marshal(wire.ErrorReply{Error: err})
	if want := `{"error":{"code":"not_found","message":"the output box: file does not exist"}}`; string(data) != want || jsonErr != nil {
		t.Errorf("%s, %v", data, jsonErr)
	}
	var back wire.ErrorReply
	if err := json.Unmarshal(data, &back); err != nil || back.Error.Code != wire.CodeNotFound || errors.Is(back.Error, fs.ErrNotExist) {
		t.Errorf("%+v, %v", back.Error, err)
	}
}
