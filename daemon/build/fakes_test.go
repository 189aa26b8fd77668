package build

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/provisioners"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// memoryLedger is a Ledger that forgets with the process. An entry in fail makes an operation on that name fail.
type memoryLedger struct {
	mu   sync.Mutex
	rows []Resource
	fail map[string]error // by "intend NAME", "release NAME" or "held"
}

func (l *memoryLedger) Intend(_ context.Context, r Resource) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.fail["intend "+r.Name]; err != nil {
		return err
	}
	l.rows = append(l.rows, r)
	return nil
}

func (l *memoryLedger) Release(ctx context.Context, r Resource) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.fail["release "+r.Name]; err != nil {
		return err
	}
	l.rows = slices.DeleteFunc(l.rows, func(o Resource) bool { return o.Kind == r.Kind && o.Name == r.Name && o.Build == r.Build })
	return nil
}

func (l *memoryLedger) Held(_ context.Context, b ID) ([]Resource, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.fail["held"]; err != nil {
		return nil, err
	}
	var held []Resource
	for _, r := range slices.Backward(l.rows) {
		if b == "" || r.Build == b {
			held = append(held, r)
		}
	}
	return held, nil
}

func (l *memoryLedger) names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for _, r := range l.rows {
		names = append(names, r.Name)
	}
	return names
}

// events is a Sink that keeps everything.
type events struct {
	mu  sync.Mutex
	all []Event
}

func (s *events) Emit(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, e)
}

// text is what was told, one event a line.
func (s *events) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, e := range s.all {
		fmt.Fprintln(&b, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", e.Kind, e.Step, e.Phase, e.Text)))
	}
	return b.String()
}

type askerFunc func(ctx context.Context, q Question) (string, error)

func (f askerFunc) Ask(ctx context.Context, q Question) (string, error) {
	return f(ctx, q)
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

// guest is there, and nothing else: the engine only asks whether there is one.
type guest struct{ provisioners.Guest }

// kiln is an engine with one session and everything it touches.
type kiln struct {
	*Engine
	session *Session
	ledger  *memoryLedger
	events  *events
	reaped  []string // names, in order
	stuck   map[string]error
}

func newKiln(t *testing.T) *kiln {
	t.Helper()
	k := &kiln{ledger: &memoryLedger{fail: map[string]error{}}, events: &events{}, stuck: map[string]error{}}
	reaper := ReaperFunc(func(_ context.Context, r Resource) error {
		if err := k.stuck[r.Name]; err != nil {
			return err
		}
		k.reaped = append(k.reaped, r.Name)
		return nil
	})
	k.Engine = &Engine{Now: time.Now, Reapers: Reapers{KindMachine: reaper, KindDir: reaper, KindOutput: reaper}}
	k.session = &Session{
		Build: "b1", Attempt: 1, Plan: &Plan{Label: "qemu.debian"}, Ledger: k.ledger,
		Log:   Log{Sink: k.events, Label: "qemu.debian", Now: time.Now},
		Debug: slog.New(slog.DiscardHandler),
		Ask: askerFunc(func(context.Context, Question) (string, error) {
			t.Error("nobody was to be asked")
			return "", nil
		}),
	}
	return k
}

// takes is a step that takes a machine of that name.
func takes(name string) Step {
	return Step{Name: "take " + name, Do: func(ctx context.Context, s *Session) error {
		return s.Ledger.Intend(ctx, s.Resource(KindMachine, name))
	}}
}

// fails is a step that ends with err.
func fails(err error) Step {
	return Step{Name: "fail", Do: func(context.Context, *Session) error { return err }}
}

// hangs is a step that waits until somebody ends it, as every step does.
func hangs(name string, began chan<- struct{}) Step {
	return Step{Name: name, Do: func(ctx context.Context, _ *Session) error {
		if began != nil {
			close(began)
		}
		<-ctx.Done()
		return fmt.Errorf("wait for the guest: %w", ctx.Err())
	}}
}
