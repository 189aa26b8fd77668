package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/provisioners"
)

// provisionStep makes the step of one provisioner with its meta-arguments. tolerated is called for a failure that
// continue_on_error lets pass.
func (t *Set) provisionStep(i int, p build.ProvisionPlan, tolerated func()) build.Step {
	name := build.ProvisionStep(i, p.Type)
	return build.Step{Name: name, Do: func(ctx context.Context, s *build.Session) error {
		err := t.provision(ctx, s, p)
		if err != nil && p.ContinueOnError && ctx.Err() == nil {
			s.Log.Error("%s failed, and continue_on_error is set: %v", name, err)
			tolerated()
			return nil
		}
		return err
	}}
}

func (t *Set) provision(ctx context.Context, s *build.Session, p build.ProvisionPlan) error {
	if s.Guest == nil {
		return errNoGuest
	}
	if p.PauseBefore > 0 {
		s.Log.Say("Pausing %s before the next provisioner...", p.PauseBefore)
		if err := sleep(ctx, p.PauseBefore); err != nil {
			return err
		}
	}
	s.Log.Say("Provisioning with %s...", provisionName(p))
	for try := 0; ; try++ {
		err := t.provisionOnce(ctx, s, p)
		if err == nil || ctx.Err() != nil || try >= p.MaxRetries {
			return err
		}
		s.Log.Error("%v; trying again, %d of %d", err, try+1, p.MaxRetries)
	}
}

func provisionName(p build.ProvisionPlan) string {
	if p.Name != "" {
		return p.Type + " " + p.Name
	}
	return p.Type
}

func (t *Set) provisionOnce(ctx context.Context, s *build.Session, p build.ProvisionPlan) error {
	kind, ok := t.Parts.Provisioners[p.Type]
	if !ok || kind.New == nil {
		return fmt.Errorf("provisioner %q is not built yet", p.Type)
	}
	prov, err := kind.New(p.Args, t.env(s))
	if err != nil {
		return fmt.Errorf("provisioner %s: %w", p.Type, err)
	}
	if p.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, p.Timeout, fmt.Errorf("provisioner %s took longer than its timeout of %s", p.Type, p.Timeout))
		defer cancel()
	}
	out := s.Log.Writer()
	err = prov.Provision(ctx, s.Guest, out)
	_ = out.Close() // tells the last line; cannot fail
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (t *Set) env(s *build.Session) provisioners.Env {
	return provisioners.Env{Files: s.Files, Outputs: s.Outputs, Vars: t.vars(s), Cwd: s.Plan.Cwd, Render: t.renderer(s),
		Pause: func(ctx context.Context, note string) error {
			text := "Press enter to continue."
			if s.Reached != "" {
				text = fmt.Sprintf("The guest answers at %s for user %q; `boxkiln ssh %s` opens a shell in it. %s",
					s.Reached, s.Plan.Communicator.SSH.Username, s.Build, text)
			}
			if note != "" {
				text = note + ": " + text
			}
			_, err := s.Ask.Ask(ctx, build.Question{Step: "breakpoint", Text: text, Choices: []string{"continue"}})
			return err
		}}
}

// ErrorCleanup runs the error-cleanup-provisioner of a failed build.
func (t *Set) ErrorCleanup(ctx context.Context, s *build.Session) error {
	s.Log.Say("Running the cleanup provisioner...")
	return t.provision(ctx, s, *s.Plan.ErrorCleanup)
}

// putKeyBack makes sure that a guest which is about to be frozen lets the build's key in: whoever thaws it logs in anew, and
// scripts that write authorized_keys for the image's users are common. cleanGuest takes the key out again.
func (t *Set) putKeyBack(ctx context.Context, s *build.Session) {
	fields := strings.Fields(s.Key.Authorized)
	if len(fields) < 2 || s.Plan.Communicator.SSH.Password != "" || s.Guest == nil {
		return
	}
	line := fmt.Sprintf(`f="$HOME/.ssh/authorized_keys"; grep -qsF '%s' "$f" || `+
		`{ mkdir -p "$HOME/.ssh" && chmod 700 "$HOME/.ssh" && printf '%%s\n' '%s' >> "$f" && chmod 600 "$f"; }`,
		fields[1], strings.Join(fields[:2], " "))
	exit, err := s.Guest.Run(ctx, provisioners.Command{Line: line})
	if err != nil || exit != 0 {
		s.Log.Message("the temporary key could not be kept in the guest (status %d, %v): its checkpoint may refuse the next build's login", exit, err)
	}
}

// cleanGuest removes the temporary key from the guest: a published image must not open for it.
func (t *Set) cleanGuest(ctx context.Context, s *build.Session) error {
	if s.Key.Authorized == "" {
		return nil
	}
	fields := strings.Fields(s.Key.Authorized)
	if len(fields) < 2 {
		return nil
	}
	// The key's own text has no character that sed or grep would take for more than itself but "+", "/" and "=".
	line := fmt.Sprintf(`for f in "$HOME/.ssh/authorized_keys" /root/.ssh/authorized_keys; do `+
		`if [ -w "$f" ] && grep -qF '%[1]s' "$f"; then grep -vF '%[1]s' "$f" > "$f.boxkiln"; cat "$f.boxkiln" > "$f"; rm -f "$f.boxkiln"; fi; done`, fields[1])
	exit, err := s.Guest.Run(ctx, provisioners.Command{Line: line})
	if err != nil || exit != 0 {
		s.Log.Message("the temporary key could not be removed from the guest (status %d, %v)", exit, err)
	}
	return nil
}

// defaultShutdownTimeout is Packer's.
const defaultShutdownTimeout = 5 * time.Minute

// shutdown powers the guest off: by the template's command, else by ACPI.
func (t *Set) shutdown(ctx context.Context, s *build.Session) error {
	args := s.Plan.Shutdown
	timeout := args.ShutdownTimeout.Or(shutdownPatience(s))
	s.ExpectOff()
	waitCtx, cancel := context.WithTimeoutCause(ctx, timeout, shutdownTimeout(s, timeout))
	defer cancel()
	switch {
	case endsItself(s):
		s.Log.Say("Waiting for the guest to power itself off...")
	case s.Plan.Machine.Remote:
		if on, err := stopRemote(waitCtx, s); on || err != nil {
			return err
		}
	case args.ShutdownCommand == "":
		s.Log.Say("Halting the virtual machine by ACPI: the template has no shutdown_command")
		if err := s.Machine.Shutdown(waitCtx); err != nil {
			return build.OurFault(fmt.Errorf("shut down by ACPI: %w", err))
		}
	default:
		s.Log.Say("Gracefully halting virtual machine...")
		if err := t.runShutdown(waitCtx, s, args.ShutdownCommand); err != nil {
			return err
		}
	}
	if err := s.Machine.Wait(waitCtx); err != nil {
		if waitCtx.Err() != nil {
			return context.Cause(waitCtx)
		}
		return fmt.Errorf("the machine did not power off cleanly: %w", err)
	}
	return nil
}

// shutdownPatience is how long a shutdown may take if the template does not say.
func shutdownPatience(s *build.Session) time.Duration {
	if i, ok := s.Driver.(hypervisor.Imager); ok && s.Plan.Machine.Remote {
		return i.Patience()
	}
	return defaultShutdownTimeout
}

// stopRemote has the cloud stop the machine. One that cannot be stopped stays on: its image is made all the same.
func stopRemote(ctx context.Context, s *build.Session) (on bool, err error) {
	s.Log.Say("Stopping the instance...")
	err = s.Machine.Shutdown(ctx)
	if errors.Is(err, hypervisor.ErrUnsupported) {
		s.Log.Message("%v: it goes on", err)
		return true, nil
	}
	return false, build.OurFault(err)
}

// endsItself tells whether the guest powers itself off without being asked: because the template says so, or because nobody logged
// in to one that an installer makes. A guest in a cloud, which is installed already, runs for ever.
func endsItself(s *build.Session) bool {
	return s.Plan.Shutdown.DisableShutdown || s.Guest == nil && !s.Plan.Machine.Remote
}

func shutdownTimeout(s *build.Session, limit time.Duration) error {
	asked := "after shutdown_command: raise shutdown_timeout or look at the last screen"
	switch {
	case endsItself(s):
		asked = "by itself: raise shutdown_timeout or look at the last screen"
	case s.Plan.Shutdown.ShutdownCommand == "":
		asked = "after the ACPI power button: set shutdown_command in the template"
	}
	return fmt.Errorf("the guest did not power off within %s %s", limit, asked)
}

// runShutdown runs the command. The connection may end under it, which is what it is for.
func (t *Set) runShutdown(ctx context.Context, s *build.Session, command string) error {
	command, err := t.renderer(s)(command, nil)
	if err != nil {
		return fmt.Errorf("shutdown_command: %w", err)
	}
	out := s.Log.Writer()
	defer out.Close()
	done := make(chan error, 1)
	go func() {
		exit, err := s.Guest.Run(ctx, provisioners.Command{Line: command, Stdout: out, Stderr: out})
		if err == nil && exit != 0 {
			err = &provisioners.ExitError{Command: "shutdown_command", Status: exit}
		}
		done <- err
	}()
	off := make(chan error, 1)
	go func() { off <- s.Machine.Wait(ctx) }()
	select {
	case err := <-done:
		var exit *provisioners.ExitError
		if errors.As(err, &exit) && exit.Status > 0 {
			s.Log.Message("%v; waiting for the machine all the same", err)
		}
		return nil
	case err := <-off:
		return err
	}
}
