package daemon

import (
	"errors"
	"testing"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// TestRetire submits while the daemon retires: what it accepts is built, the rest is told that it ends.
func TestRetire(t *testing.T) {
	t.Parallel()
	b := service(t)
	b.run(t)
	done := make(chan error, 1)
	go func() { done <- b.retire(t.Context()) }()
	var accepted []build.ID
	for range 20 {
		records, err := b.Submit(t.Context(), socket, wire.SubmitRequest{Plans: []build.Plan{plan("p")}})
		if isStopping(err) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		accepted = append(accepted, records[0].ID)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := b.Submit(t.Context(), socket, wire.SubmitRequest{Plans: []build.Plan{plan("late")}}); !isStopping(err) {
		t.Errorf("a submission to a daemon that has retired: %v", err)
	}
	for _, id := range accepted {
		if r := record(t, b, id); r.State != build.Succeeded {
			t.Errorf("%+v", r)
		}
	}
}

func isStopping(err error) bool {
	var refused *wire.Error
	return errors.As(err, &refused) && refused.Code == wire.CodeStopping
}
