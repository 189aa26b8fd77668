package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// entrySize is how many bytes each event of a fake log takes.
const entrySize = 64

// fakeBuilds is a daemon in memory that does what it is asked; err, when it is set, is what it answers.
type fakeBuilds struct {
	mu      sync.Mutex
	changed sync.Cond
	builds  []Build
	logs    map[string][]build.Event
	asked   []string // what Control was asked to do
	err     error
}

func (f *fakeBuilds) List(_ context.Context, q Query) ([]Build, int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []Build
	for _, b := range f.builds {
		if (q.State == "" || b.State == q.State) && (q.Box == "" || b.Box == q.Box) && strings.Contains(b.Source+b.Template, q.Text) && !slices.Contains(q.Hidden, strings.ToLower(b.Box)) {
			found = append(found, b)
		}
	}
	first := min(q.Offset, len(found))
	return found[first:min(first+q.Limit, len(found))], len(found), f.err
}

func (f *fakeBuilds) Box(ctx context.Context, id string) (string, error) {
	b, err := f.Build(ctx, id)
	return b.Box, err
}

func (f *fakeBuilds) Build(_ context.Context, id string) (Build, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := f.find(id)
	if err != nil {
		return Build{}, err
	}
	return *b, f.err
}

func (f *fakeBuilds) find(id string) (*Build, error) {
	for i := range f.builds {
		if f.builds[i].ID == id {
			return &f.builds[i], nil
		}
	}
	return nil, fmt.Errorf("build %q: %w", id, ErrNotFound)
}

func (f *fakeBuilds) Read(_ context.Context, id string, offset int64, fn func(Entry) error) error {
	f.mu.Lock()
	events, ok := f.logs[id]
	f.mu.Unlock()
	if !ok {
		return fmt.Errorf("log of %q: %w", id, ErrNotFound)
	}
	if offset < 0 {
		offset = max(0, int64(len(events))*entrySize+offset)
	}
	for i := offset / entrySize; i < int64(len(events)); i++ {
		if err := fn(Entry{From: i * entrySize, Next: (i + 1) * entrySize, Event: events[i]}); err != nil {
			return err
		}
	}
	return f.err
}

// Follow waits on the condition; a context that ends wakes it.
func (f *fakeBuilds) Follow(ctx context.Context, id string, offset int64, fn func(Entry) error) error {
	defer wakeAtEnd(ctx, &f.changed)()
	for {
		err := f.Read(ctx, id, offset, func(e Entry) error {
			offset = e.Next
			return fn(e)
		})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		f.mu.Lock()
		b, err := f.find(id) // one that has printed nothing is followed too
		for err == nil && ctx.Err() == nil && !b.State.Final() && int64(len(f.logs[id]))*entrySize <= offset {
			f.changed.Wait()
		}
		ended := err == nil && b.State.Final() && int64(len(f.logs[id]))*entrySize <= offset
		f.mu.Unlock()
		if err != nil || ended || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// tell appends to a log.
func (f *fakeBuilds) tell(id string, events ...build.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs[id] = append(f.logs[id], events...)
	f.changed.Broadcast()
}

// alter changes a build, and tells that it has.
func (f *fakeBuilds) alter(id string, change func(*Build)) {
	f.mu.Lock()
	b, err := f.find(id)
	if err != nil {
		panic(err)
	}
	change(b)
	state := b.State
	f.logs[id] = append(f.logs[id], build.Event{Time: noon, Kind: build.EventState, State: state})
	f.changed.Broadcast()
	f.mu.Unlock()
}

func (f *fakeBuilds) note(what string, who auth.Principal, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(id); err != nil {
		return err
	}
	f.asked = append(f.asked, what+" "+id+" by "+who.Name)
	f.changed.Broadcast()
	return f.err
}

func (f *fakeBuilds) did() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func (f *fakeBuilds) Cancel(_ context.Context, who auth.Principal, id string) error {
	if err := f.note("cancel", who, id); err != nil {
		return err
	}
	f.alter(id, func(b *Build) { b.State = build.Canceling })
	return nil
}

func (f *fakeBuilds) Retry(_ context.Context, who auth.Principal, id string) (string, error) {
	return "b5", f.note("retry", who, id)
}

func (f *fakeBuilds) Resume(_ context.Context, who auth.Principal, id string) error {
	return f.note("resume", who, id)
}

func (f *fakeBuilds) Answer(_ context.Context, who auth.Principal, id, answer string) error {
	if err := f.note("answer "+answer, who, id); err != nil {
		return err
	}
	f.alter(id, func(b *Build) { b.Question = nil })
	return nil
}

// fakeWindow is a machine that shows what it is told to, and writes down what is typed.
type fakeWindow struct {
	mu      sync.Mutex
	changed sync.Cond
	frame   Frame
	serial  []byte
	typed   []string
	gone    bool
	watches int // that go on
	err     error
}

func (f *fakeWindow) Screen(_ context.Context, id string) (Frame, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return Frame{}, f.err
	}
	if id == "none" {
		return Frame{}, ErrNotFound
	}
	if f.frame.PNG == nil {
		return Frame{}, ErrNothing
	}
	return f.frame, nil
}

func (f *fakeWindow) WatchScreen(ctx context.Context, id string, fn func(Frame) error) error {
	if id == "none" {
		return ErrNotFound
	}
	defer wakeAtEnd(ctx, &f.changed)()
	f.mu.Lock()
	f.watches++
	f.changed.Broadcast()
	defer func() {
		f.watches--
		f.mu.Unlock()
	}()
	var last *byte
	for ctx.Err() == nil {
		if f.gone {
			return nil
		}
		if frame := f.frame; frame.PNG != nil && &frame.PNG[0] != last {
			last = &frame.PNG[0]
			f.mu.Unlock()
			err := fn(frame)
			f.mu.Lock()
			if err != nil {
				return err
			}
			continue
		}
		f.changed.Wait()
	}
	return context.Cause(ctx)
}

func (f *fakeWindow) show(png []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frame = Frame{PNG: png, At: noon, Live: true}
	f.changed.Broadcast()
}

func (f *fakeWindow) print(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serial = append(f.serial, text...)
	f.changed.Broadcast()
}

func (f *fakeWindow) ReadSerial(_ context.Context, id string, offset int64, fn func(int64, []byte) error) error {
	f.mu.Lock()
	serial, err := slices.Clone(f.serial), f.err
	f.mu.Unlock()
	if err != nil {
		return err
	}
	if id == "none" {
		return ErrNotFound
	}
	if offset < 0 {
		offset = max(0, int64(len(serial))+offset)
	}
	if offset >= int64(len(serial)) {
		return nil
	}
	return fn(int64(len(serial)), serial[offset:])
}

func (f *fakeWindow) FollowSerial(ctx context.Context, id string, offset int64, fn func(int64, []byte) error) error {
	defer wakeAtEnd(ctx, &f.changed)()
	for {
		err := f.ReadSerial(ctx, id, offset, func(next int64, chunk []byte) error {
			offset = next
			return fn(next, chunk)
		})
		if err != nil {
			return err
		}
		f.mu.Lock()
		for ctx.Err() == nil && !f.gone && int64(len(f.serial)) <= offset {
			f.changed.Wait()
		}
		ended := f.gone && int64(len(f.serial)) <= offset
		f.mu.Unlock()
		if ended || ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func (f *fakeWindow) Type(_ context.Context, id, text string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id == "none" {
		return 0, ErrNotFound
	}
	if f.gone {
		return 0, ErrNothing
	}
	if strings.Contains(text, "ü") {
		return 0, &Refusal{Status: 400, Text: `the character "ü" is on no key of a US keyboard`}
	}
	f.typed = append(f.typed, text)
	f.changed.Broadcast()
	return len(text), nil
}

func (f *fakeWindow) allTyped() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.typed, "")
}

// fakeTokens knows a token for each scope, "bxk_read" and so on.
type fakeTokens struct {
	mu      sync.Mutex
	known   map[string]auth.Principal
	life    time.Duration // of the last one that was made
	changed string        // Ada's new password
	err     error
}

func newTokens() *fakeTokens {
	f := &fakeTokens{known: map[string]auth.Principal{}}
	for _, scope := range []auth.Scope{auth.Read, auth.Write, auth.Admin} {
		f.known["bxk_"+string(scope)] = auth.Principal{Name: "ada-" + string(scope), Scope: scope}
	}
	return f
}

func (f *fakeTokens) Check(_ context.Context, token string) (auth.Principal, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	who, ok := f.known[token]
	if f.err == nil && !ok {
		return auth.Principal{}, auth.ErrRefused
	}
	return who, f.err
}

// Login knows one user, Ada.
func (f *fakeTokens) Login(_ context.Context, user, password, description string, life time.Duration) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.life = life
	if f.err != nil || user != "ada" || password != "correct horse" {
		return "", cmp.Or(f.err, auth.ErrRefused)
	}
	token := "bxk_login"
	for f.known[token].Known() {
		token += "+"
	}
	f.known[token] = auth.Principal{Name: description, User: "ada", Token: int64(len(token)), Scope: auth.Write}
	return token, nil
}

// ChangePassword knows what Login does, and what real passwords must be like.
func (f *fakeTokens) ChangePassword(_ context.Context, user, present, password string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case present == "again and again":
		return auth.ErrThrottled
	case f.err != nil || user != "ada" || present != "correct horse":
		return cmp.Or(f.err, auth.ErrRefused)
	case len(password) < 8:
		return &auth.InvalidError{Text: "a password has 8 bytes"}
	}
	f.changed = password
	return nil
}

func (f *fakeTokens) Logout(_ context.Context, token int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.known, func(_ string, p auth.Principal) bool { return p.Token == token })
	return f.err
}

func (f *fakeTokens) revoke(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.known, token)
}

// wakeAtEnd wakes who waits when ctx ends.
func wakeAtEnd(ctx context.Context, changed *sync.Cond) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		changed.L.Lock()
		defer changed.L.Unlock()
		changed.Broadcast()
	})
}

// until waits for something that a page does to the fake.
func (f *fakeWindow) until(t *testing.T, done func() bool) {
	t.Helper()
	waitFor(t, &f.changed, done)
}

func (f *fakeBuilds) until(t *testing.T, done func() bool) {
	t.Helper()
	waitFor(t, &f.changed, done)
}

// patience is how long a page may take to do something: as long as a slow machine needs.
const patience = 3 * time.Minute

// waitFor waits until done, which is asked under the lock of changed, and gives a slow machine minutes.
func waitFor(t *testing.T, changed *sync.Cond, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	defer wakeAtEnd(ctx, changed)()
	changed.L.Lock()
	defer changed.L.Unlock()
	for !done() {
		if ctx.Err() != nil {
			t.Fatal("what the page had to do was not done")
		}
		changed.Wait()
	}
}
