package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/queue"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/layout"
)

// rack is a driver that knows machines by name and can only find and destroy them.
type rack struct {
	hypervisor.Driver
	machines  map[string]error // what Destroy answers
	destroyed []string
}

func (r *rack) Open(_ context.Context, h hypervisor.Handle) (hypervisor.Machine, error) {
	if _, ok := r.machines[h.Name]; !ok {
		return nil, hypervisor.ErrNotFound
	}
	return racked{rack: r, name: h.Name}, nil
}

// RemoveImport stands for a cloud that asks who asks.
func (r *rack) RemoveImport(_ context.Context, h hypervisor.ImportHandle) error {
	r.destroyed = append(r.destroyed, h.Name+string(h.Args))
	return nil
}

func (r *rack) Import(context.Context, hypervisor.ImportRequest) (hypervisor.Artifact, error) {
	return hypervisor.Artifact{}, hypervisor.ErrUnsupported
}

type racked struct {
	hypervisor.Machine
	rack *rack
	name string
}

func (m racked) Destroy(context.Context) error {
	if err := m.rack.machines[m.name]; err != nil {
		return err
	}
	delete(m.rack.machines, m.name)
	m.rack.destroyed = append(m.rack.destroyed, m.name)
	return nil
}

func openDaemon(t *testing.T, data layout.Dir, r *rack) *Daemon {
	t.Helper()
	d, err := Open(t.Context(), Config{
		Data: data, Budget: queue.Budget{CPUs: 4, MemoryMiB: 4096, DiskBytes: 1 << 40}, Log: slog.New(slog.DiscardHandler),
		Drivers: func(string) map[string]hypervisor.Driver { return map[string]hypervisor.Driver{"none": r} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func machineRow(t *testing.T, id build.ID, driver, name string) build.Resource {
	t.Helper()
	handle, err := json.Marshal(hypervisor.Handle{Driver: driver, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return build.Resource{Build: id, Attempt: 1, Kind: build.KindMachine, Name: name, Data: handle}
}

// importRow is the row of an image whose arguments have a secret of the plan.
func importRow(t *testing.T, id build.ID, p build.Plan, name string) build.Resource {
	t.Helper()
	handle, err := json.Marshal(hypervisor.ImportHandle{Driver: "none", Name: name, Args: json.RawMessage(`{"secret_key":"hunter2"}`)})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := p.SealData(handle)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(sealed), "hunter2") {
		t.Errorf("the row shows a secret: %s", sealed)
	}
	return build.Resource{Build: id, Attempt: 1, Kind: build.KindImport, Name: name, Data: sealed}
}

// What a daemon that died in the middle of a build left is gone when the next one is open, but for what is not ours and
// what cannot be removed now. The build reads interrupted, others still wait.
func TestRecoveryAfterACrash(t *testing.T) {
	t.Parallel()
	data, err := layout.Data(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	foreign := t.TempDir()
	output := filepath.Join(t.TempDir(), "output-debian")
	r := &rack{machines: map[string]error{"vm": nil, "stuck": errors.New("device busy")}}
	first := openDaemon(t, data, r)
	runs := plan("runs")
	runs.Secrets = []string{"hunter2"}
	records := submitPlans(t, first.builds, runs, plan("waits"))
	id, waiting := records[0].ID, records[1].ID
	if _, err := first.builds.Claim(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	dir, err := data.Build(string(id))
	if err != nil {
		t.Fatal(err)
	}
	home := dir.Attempt(1)
	if err := errors.Join(home.Make(), os.Mkdir(output, 0o755), os.WriteFile(filepath.Join(home.Work(), "disk"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	row := func(kind build.ResourceKind, name string) build.Resource {
		return build.Resource{Build: id, Attempt: 1, Kind: kind, Name: name}
	}
	for _, res := range []build.Resource{
		row(build.KindDir, home.Work()), row(build.KindDir, home.Scratch()), row(build.KindOutput, output), row(build.KindOutput, "relative"),
		row(build.KindDir, foreign), row(build.KindMachine, "row without a handle"),
		machineRow(t, id, "none", "vm"), machineRow(t, id, "none", "never came to be"), machineRow(t, id, "none", "stuck"), machineRow(t, id, "xen", "of another driver"),
		importRow(t, id, runs, "image"),
	} {
		if err := first.builds.store.Intend(t.Context(), res); err != nil {
			t.Fatal(err)
		}
	}
	for _, live := range []build.ID{id, waiting} { // the kernel closes the files of a dead process
		first.builds.close(live)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := openDaemon(t, data, r)
	defer second.Close()
	if rec := record(t, second.builds, id); rec.State != build.Interrupted {
		t.Errorf("%+v", rec)
	}
	if log := follow(t, second.builds, id); !strings.HasSuffix(log, "state interrupted the daemon ended while the build ran") {
		t.Error(log)
	}
	for _, gone := range []string{home.Work(), home.Scratch(), output} {
		if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", gone, err)
		}
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a folder that is not below the data directory: %v", err)
	}
	wantHeld(t, second, "of another driver", "relative", "row without a handle", "stuck", foreign)
	if d := cmp.Diff([]string{`image{"secret_key":"hunter2"}`, "vm"}, r.destroyed); d != "" {
		t.Error(d)
	}
	if rec := record(t, second.builds, waiting); rec.State != build.Queued {
		t.Errorf("%+v", rec)
	}
	if state, err := second.builds.Cancel(t.Context(), waiting); state != build.Canceled || err != nil {
		t.Errorf("%s, %v", state, err)
	}
}

func wantHeld(t *testing.T, d *Daemon, want ...string) {
	t.Helper()
	held, err := d.builds.store.Held(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, res := range held {
		names = append(names, res.Name)
	}
	slices.Sort(names)
	slices.Sort(want)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error("still in the ledger:", diff)
	}
}

func TestOneDaemonForADataDirectory(t *testing.T) {
	t.Parallel()
	data, err := layout.Data(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	first := openDaemon(t, data, &rack{})
	_, err = Open(t.Context(), Config{Data: data, Log: slog.New(slog.DiscardHandler)})
	var locked *LockedError
	if !errors.As(err, &locked) || !strings.Contains(err.Error(), data.Path()) {
		t.Errorf("a second daemon: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := openDaemon(t, data, &rack{}).Close(); err != nil {
		t.Error(err)
	}
}
