package steps

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/checkpoint"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/shellquote"
	"github.com/boxkiln/boxkiln/provisioners"
)

// makeKey takes the key that the frozen guest knows, or makes one.
func (k *kept) makeKey(ctx context.Context, s *build.Session) error {
	if k.from == nil {
		return k.set.makeKey(ctx, s)
	}
	text, err := k.set.Checkpoints.Key(ctx, k.from.Entry.ID)
	if err != nil {
		return build.OurFault(fmt.Errorf("the key of checkpoint %s: %w", k.from.Entry.ID, err))
	}
	if err := json.Unmarshal([]byte(text), &s.Key); err != nil {
		return build.OurFault(fmt.Errorf("the key of checkpoint %s: %w", k.from.Entry.ID, err))
	}
	if s.Key.Private == "" {
		return nil
	}
	return keepKey(s)
}

// createMachine makes the machine, or thaws it from the checkpoint that was found. A checkpoint that cannot be thawed after
// all is left alone, and the machine is installed; if its files were damaged, an earlier one may do.
func (k *kept) createMachine(ctx context.Context, s *build.Session) (err error) {
	known := s.Key // to the installer, by the seed and the media
	for k.from != nil {
		if err = k.thaw(ctx, s); err == nil || ctx.Err() != nil {
			return err
		}
		if err = k.fallBack(ctx, s, err); err != nil {
			return err
		}
	}
	if s.Key != known {
		s.Key = known
		if err := keepKey(s); err != nil {
			return err
		}
	}
	k.watch, err = k.set.makeMachine(ctx, s, func(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
		s.Log.Say("Creating the machine %s (%s)", spec.Name, summaryOf(spec))
		return s.Driver.Create(ctx, spec)
	})
	if err != nil {
		return err
	}
	s.Log.Mark(build.MarkPoweredOn, "")
	if note, ok := s.Machine.(interface{ Note() string }); ok && note.Note() != "" {
		s.Log.Message("%s", note.Note())
	}
	return nil
}

// fallBack gives up a checkpoint that could not be thawed, and looks for another one if its files were at fault.
func (k *kept) fallBack(ctx context.Context, s *build.Session, why error) error {
	id, i := k.from.Entry.ID, k.done-1
	if err := k.set.dropMachine(ctx, s); err != nil {
		return err
	}
	k.leave()
	if errors.Is(why, checkpoint.ErrDamaged) || errors.Is(why, checkpoint.ErrGone) {
		s.Log.Error("The checkpoint %s could not be thawed: %v", id, why)
		for ; i >= 0 && k.from == nil; i-- {
			if err := k.take(ctx, s, i); err != nil {
				return err
			}
		}
		if k.from != nil {
			return k.makeKey(ctx, s)
		}
		return nil
	}
	s.Log.Error("The checkpoint %s could not be thawed: %v; everything is run", id, why)
	return nil
}

// thaw makes the machine out of the checkpoint.
func (k *kept) thaw(ctx context.Context, s *build.Session) (err error) {
	e := k.from.Entry
	thawer, ok := s.Driver.(hypervisor.Thawer)
	if !ok || e.Machine == nil {
		return fmt.Errorf("driver %s: %w", s.Driver.Name(), hypervisor.ErrUnsupported)
	}
	s.Log.Say("Thawing the machine from the checkpoint of %s, %s", e.Stage, k.age)
	began := k.set.Now()
	k.watch, err = k.set.makeMachine(ctx, s, func(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
		return thawMachine(ctx, thawer, k.from, spec)
	})
	if err != nil {
		return err
	}
	s.HostKey = ""
	if e.Kind == checkpoint.KindMemory { // one that boots may make new ones, as a script of the template wanted
		s.HostKey = e.HostKey
	}
	s.Log.Mark(build.MarkThawed, fmt.Sprintf("%s in %.1f s", e.Stage, k.set.Now().Sub(began).Seconds()))
	return nil
}

// thawMachine thaws the machine of a checkpoint. Its memory is uncompressed on the way, without ever being a file with a name.
func thawMachine(ctx context.Context, thawer hypervisor.Thawer, from *checkpoint.Lease, spec hypervisor.Spec) (m hypervisor.Machine, err error) {
	frozen := *from.Entry.Machine
	if frozen.Memory == "" {
		return thawer.Thaw(ctx, frozen, from.Dir, spec)
	}
	memory, err := from.Memory(ctx, spec.Dir)
	if err != nil {
		return nil, err
	}
	err = throughPipe(ctx, frozen.MemoryPipe(spec), memory, func() error {
		m, err = thawer.Thaw(ctx, frozen, from.Dir, spec)
		return err
	})
	return m, err
}

// dropMachine removes what may be there of a machine that could not be made whole.
func (t *Set) dropMachine(ctx context.Context, s *build.Session) error {
	spec := t.spec(s)
	m, err := s.Driver.Open(ctx, handleOf(s, spec))
	if errors.Is(err, hypervisor.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = m.Destroy(ctx)
	}
	return build.OurFault(err)
}

// waitGuest logs in, and gives a guest that was frozen running the time of day and randomness of its own.
func (k *kept) waitGuest(ctx context.Context, s *build.Session) error {
	if err := k.set.waitGuest(ctx, s); err != nil {
		if k.from != nil {
			return fmt.Errorf("the thawed guest: %w; build with --fresh to run everything anew", err)
		}
		return err
	}
	if k.from != nil && k.from.Entry.Kind == checkpoint.KindMemory {
		k.set.freshen(ctx, s)
	}
	return nil
}

// entropySize is what the guest's pool gets, in bytes: the width of the kernel's own seed, twice over.
const entropySize = 64

// freshen sets a thawed guest's clock and stirs its random pool: clones of one checkpoint must not make the same keys. The
// machine's generation id has changed too; Linux 5.18 and later with its driver (vmgenid) notice that by themselves. Others
// are asked to use the new seed at once (RNDRESEEDCRNG, random.h), which takes an interpreter; where none is there they do so
// within a minute.
func (t *Set) freshen(ctx context.Context, s *build.Session) {
	seed := make([]byte, entropySize)
	rand.Read(seed) // never fails: crypto/rand
	script := fmt.Sprintf(`cat > /dev/urandom; date -u -s @%d > /dev/null; [ -e /sys/bus/acpi/drivers/vmgenid ] || `+
		`perl -e 'open(F,">/dev/urandom") and ioctl(F,0x5207,0)' 2> /dev/null || `+
		`python3 -c 'import fcntl; fcntl.ioctl(open("/dev/urandom","wb"), 0x5207)' 2> /dev/null || true`, t.Now().Unix())
	// What root may write without being asked tells more cheaply than a program who we are.
	line := `if [ -w /etc/shadow ]; then exec sh -c "$0"; else exec sudo -S -p '' sh -c "$0"; fi`
	line = "sh -c " + shellquote.Quote(line) + " " + shellquote.Quote(script)
	// sudo reads the password from its input if it wants one; otherwise the line goes into the pool, where it does no harm.
	in := strings.NewReader(s.Plan.Communicator.SSH.Password + "\n" + string(seed))
	exit, err := s.Guest.Run(ctx, provisioners.Command{Line: line, Stdin: in})
	if err != nil || exit != 0 {
		s.Log.Message("the thawed guest's clock and random pool could not be set (status %d, %v): keys that it makes soon may equal those of another build", exit, err)
	}
}

// rewindTo makes the Rewind of the provisioner after stage i: the machine as that stage left it, if it was kept.
func (k *kept) rewindTo(i int) func(ctx context.Context, s *build.Session) error {
	return func(ctx context.Context, s *build.Session) error {
		k.flush()
		k.commits.Wait()
		k.mu.Lock()
		id, ok := k.at[i]
		k.mu.Unlock()
		if !ok {
			s.Log.Message("there is no checkpoint before this step: it is tried again on the machine as it is")
			return nil
		}
		lease, err := k.set.Checkpoints.Acquire(ctx, id, s.Build)
		if err != nil {
			return build.OurFault(err)
		}
		if err := k.discard(ctx, s); err != nil {
			return err
		}
		k.use(i, lease)
		k.began = k.set.Now() // what was spent before is in the checkpoint's account
		if err := k.thaw(ctx, s); err != nil {
			return err
		}
		return k.waitGuest(ctx, s)
	}
}

// discard gives the machine of a failed step up.
func (k *kept) discard(ctx context.Context, s *build.Session) error {
	s.ExpectOff()
	defer s.ExpectOn()
	if s.Guest != nil {
		if err := s.Guest.Close(); err != nil {
			s.Debug.Debug("closing the guest of a failed step", "err", err)
		}
	}
	if err := s.Machine.Destroy(ctx); err != nil {
		return build.OurFault(err)
	}
	return k.watch.Close()
}
