package daemon

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/window"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
	"github.com/boxkiln/boxkiln/internal/layout"
	"github.com/boxkiln/boxkiln/provisioners"
)

// showSession lets people look at an attempt, and copies its serial console, until the returned function is called.
func (b *Builds) showSession(s *build.Session) (end func()) {
	spool, err := b.openSpool(s)
	if err != nil {
		s.Debug.Warn("the serial console is not shown", "err", err)
	}
	var tail *window.Tail
	if spool != nil {
		tail = &window.Tail{To: spool, Path: func() string { return serialLog(s.CurrentMachine()) }}
	}
	b.mu.Lock()
	if l := b.live[s.Build]; l != nil {
		l.session, l.serial, l.tail = s, spool, tail
	}
	b.mu.Unlock()
	if tail == nil {
		return func() {}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tail.Copy(ctx)
	}()
	return func() {
		stop()
		<-done
		if err := spool.Close(); err != nil {
			s.Debug.Warn("the copy of the serial log is not complete", "err", err)
		}
	}
}

// lookAt takes what the machine of an attempt has printed by now, after a step and before the machine goes: a machine can
// have a short life.
func (b *Builds) lookAt(s *build.Session) {
	b.mu.Lock()
	var tail *window.Tail
	if l := b.live[s.Build]; l != nil {
		tail = l.tail
	}
	b.mu.Unlock()
	if tail != nil {
		tail.Look()
	}
}

func (b *Builds) openSpool(s *build.Session) (*window.Spool, error) {
	dir, err := b.layout.Build(string(s.Build))
	if err != nil {
		return nil, err
	}
	return window.NewSpool(dir.Attempt(s.Attempt).Serial())
}

// serialLog is where a machine writes what its guest prints; empty if it does not.
func serialLog(m hypervisor.Machine) string {
	if port, ok := m.(hypervisor.SerialPort); ok {
		return port.SerialLog()
	}
	return ""
}

// watched is what people can look at of a live build; session and serial are nil before its attempt begins.
func (b *Builds) watched(id build.ID) (session *build.Session, serial *window.Spool, live bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.live[id]
	if l == nil {
		return nil, nil, false
	}
	return l.session, l.serial, true
}

// running is the session of a build with a machine, or why there is none.
func (b *Builds) running(ctx context.Context, id build.ID) (*build.Session, error) {
	r, err := b.get(ctx, id)
	if err != nil {
		return nil, err
	}
	s, _, live := b.watched(id)
	switch {
	case r.State.Final() || !live:
		return nil, wire.Errorf(wire.CodeConflict, "build %s has ended (%s), and its machine is gone", id, r.State)
	case s == nil || s.CurrentMachine() == nil:
		return nil, wire.Errorf(wire.CodeConflict, "build %s is %s and has no machine now; try again later", id, r.State)
	}
	return s, nil
}

// errNoMachineYet is for pictures of a build that has no machine at the moment.
var errNoMachineYet = errors.New("the build has no machine now")

// pictures takes pictures of the machine that a build has at the time.
func (b *Builds) pictures(id build.ID) window.Source {
	return func(ctx context.Context) (image.Image, error) {
		s, _, live := b.watched(id)
		if !live {
			return nil, window.ErrGone
		}
		if s == nil || s.CurrentMachine() == nil {
			return nil, errNoMachineYet
		}
		screen, ok := s.CurrentMachine().(hypervisor.Screen)
		if !ok {
			return nil, fmt.Errorf("the screen of machines under %s: %w", s.Driver.Name(), hypervisor.ErrUnsupported)
		}
		return screen.Capture(ctx)
	}
}

// WatchScreen calls fn with the newest picture of a build's machine and with each that differs from the one before, a few a
// second. It waits for a machine that does not exist yet. When the build has ended, the last picture comes with Live false,
// and WatchScreen returns nil. A viewer that is slow misses pictures.
func (b *Builds) WatchScreen(ctx context.Context, id build.ID, fn func(window.Frame) error) error {
	if _, err := b.get(ctx, id); err != nil {
		return err
	}
	var last window.Frame
	err := b.screens.Watch(ctx, string(id), b.pictures(id), func(f window.Frame) error {
		last = f
		return fn(f)
	})
	if err != nil {
		return unsupported(err)
	}
	kept, err := b.keptScreen(ctx, id)
	switch {
	case err == nil:
		return fn(kept)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case last.PNG != nil:
		last.Live = false
		return fn(last)
	}
	return nil
}

// unsupported is what a driver cannot do, as an answer to whoever asked for it.
func unsupported(err error) error {
	if errors.Is(err, hypervisor.ErrUnsupported) {
		return wire.Errorf(wire.CodeConflict, "%w", err)
	}
	return err
}

// Screen returns one picture: of the running machine, or else the last one that was kept.
func (b *Builds) Screen(ctx context.Context, id build.ID) (window.Frame, error) {
	if _, err := b.get(ctx, id); err != nil {
		return window.Frame{}, err
	}
	var refused error
	if _, _, live := b.watched(id); live {
		f, err := b.screens.Look(ctx, string(id), b.pictures(id))
		if err == nil {
			return f, nil
		}
		if ctx.Err() != nil {
			return window.Frame{}, context.Cause(ctx)
		}
		refused = err
	}
	kept, err := b.keptScreen(ctx, id)
	if !errors.Is(err, fs.ErrNotExist) {
		return kept, err
	}
	if refused == nil || errors.Is(refused, window.ErrGone) {
		return window.Frame{}, wire.Errorf(wire.CodeNotFound, "build %s has no picture: the last screen is kept when a build fails", id)
	}
	return window.Frame{}, wire.Errorf(wire.CodeConflict, "build %s has no picture now: %w", id, refused)
}

// keptScreen is the last picture that an attempt left, or fs.ErrNotExist.
func (b *Builds) keptScreen(ctx context.Context, id build.ID) (window.Frame, error) {
	var f window.Frame
	path, err := b.latest(ctx, id, layout.Attempt.Screen)
	if err != nil {
		return f, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return f, err
	}
	f.PNG, err = os.ReadFile(path)
	f.At = info.ModTime()
	return f, err
}

// serialPause is how often a reader looks whether a build that waits has begun.
const serialPause = 200 * time.Millisecond

// FollowSerial calls fn with what the guest printed on its serial console from offset on, and with the place after it; a
// negative offset counts from the end. It waits for a machine, and for more as long as the attempt runs, and returns nil
// when it has ended. Places are those of one attempt, the newest.
func (b *Builds) FollowSerial(ctx context.Context, id build.ID, offset int64, fn func(next int64, chunk []byte) error) error {
	if _, err := b.get(ctx, id); err != nil {
		return err
	}
	pause := time.NewTicker(serialPause)
	defer pause.Stop()
	for {
		s, spool, live := b.watched(id)
		switch {
		case !live:
			return b.ReadSerial(ctx, id, offset, fn)
		case s != nil && s.CurrentMachine() != nil && serialLog(s.CurrentMachine()) == "":
			return wire.Errorf(wire.CodeConflict, "machines under %s have no serial console to look at", s.Driver.Name())
		case spool != nil:
			return spool.Follow(ctx, offset, fn)
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ReadSerial is FollowSerial for what is there now: it does not wait for more.
func (b *Builds) ReadSerial(ctx context.Context, id build.ID, offset int64, fn func(next int64, chunk []byte) error) error {
	path, err := b.latest(ctx, id, layout.Attempt.Serial)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it printed nothing
	}
	if err != nil {
		return err
	}
	return window.ReadSpool(ctx, path, offset, fn)
}

// typing bounds what Type takes at once.
const (
	typingBytes = 4 << 10
	typingWait  = time.Minute     // all pauses together
	typingLimit = 3 * time.Minute // and the keys with them
)

// Type types at a build's machine: text with the tokens of boot commands, such as <enter>, and pauses up to a minute. It
// returns the number of key events. The log tells that something was typed and not what: it may be a password.
func (b *Builds) Type(ctx context.Context, id build.ID, text string) (events int, err error) {
	program, err := operatorProgram(text)
	if err != nil {
		return 0, err
	}
	s, err := b.running(ctx, id)
	if err != nil {
		return 0, err
	}
	keyboard, ok := s.CurrentMachine().(hypervisor.Keyboard)
	if !ok {
		return 0, wire.Errorf(wire.CodeConflict, "driver %s cannot type: %w", s.Driver.Name(), hypervisor.ErrUnsupported)
	}
	events = len(program.Events())
	s.Touch("an operator typed at it")
	s.Log.Say("typed by operator: %d key events", events)
	// Once begun it is typed to its end, whoever has hung up: keys that are down must come up again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), typingLimit)
	defer cancel()
	if err := bootcmd.Play(ctx, program, keyboard, 0, nil); err != nil {
		return events, wire.Errorf(wire.CodeConflict, "type at build %s: %w", id, err)
	}
	return events, nil
}

// operatorProgram reads what an operator types. Waits for what the guest does have a meaning only in a boot command.
func operatorProgram(text string) (bootcmd.Program, error) {
	if len(text) > typingBytes {
		return nil, wire.Errorf(wire.CodeBadRequest, "%d bytes are too much to type at once: %d are taken", len(text), typingBytes)
	}
	program, _, err := bootcmd.Parse(text)
	if err != nil {
		return nil, wire.Errorf(wire.CodeBadRequest, "%w", err)
	}
	var pauses time.Duration
	for _, op := range program {
		switch op := op.(type) {
		case bootcmd.Keys:
		case bootcmd.Wait:
			pauses += op.For
		default:
			return nil, wire.Errorf(wire.CodeBadRequest, "%s has a meaning only in a boot command", op.Source())
		}
	}
	if pauses > typingWait {
		return nil, wire.Errorf(wire.CodeBadRequest, "pauses of %s are too long: %s are taken", pauses, typingWait)
	}
	if len(program) == 0 {
		return nil, wire.Errorf(wire.CodeBadRequest, "there is nothing to type")
	}
	return program, nil
}

// OpenShell returns a terminal in the guest of a running build. It fails when there is no login yet, and where guests have
// no shell for people.
func (b *Builds) OpenShell(ctx context.Context, id build.ID) (provisioners.Terminal, error) {
	s, err := b.running(ctx, id)
	if err != nil {
		return nil, err
	}
	guest := s.CurrentGuest()
	if guest == nil {
		return nil, wire.Errorf(wire.CodeConflict, "build %s has not logged in to its guest yet; try again when it has", id)
	}
	terminal, ok := guest.(provisioners.Terminal)
	if !ok {
		return nil, wire.Errorf(wire.CodeConflict, "the guest of build %s has no shell for people: %w", id, provisioners.ErrUnsupported)
	}
	return operatorShell{s, terminal}, nil
}

// operatorShell is a terminal whose use the log tells.
type operatorShell struct {
	session  *build.Session
	terminal provisioners.Terminal
}

// Shell implements provisioners.Terminal.
func (o operatorShell) Shell(ctx context.Context, t provisioners.TerminalRequest) (int, error) {
	o.session.Touch("an operator had a shell in it")
	o.session.Log.Say("an operator opened a shell in the guest")
	exit, err := o.terminal.Shell(ctx, t)
	o.session.Log.Say("an operator's shell ended with status %d", exit)
	return exit, err
}
