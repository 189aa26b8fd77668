package build

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Step is one named stage of a build. It has no clean-up: what it does outside this process is in the ledger before it is
// done, and connections are closed by the session.
type Step struct {
	Name    string
	Timeout time.Duration // 0: none of its own
	Do      func(ctx context.Context, s *Session) error
	// Needed tells whether there is anything to do; a step that is not needed leaves no trace. Nil: always.
	Needed func(s *Session) bool
	// Cached returns how an earlier build's result stands in for the step ("cached, made 3 h ago"), or nothing if the
	// step has to run. Nil: it always runs.
	Cached func(s *Session) string
	// Rewind puts the machine back to where it was before the step, so that it can be tried again. Nil: it is tried again
	// on the machine as the failure left it.
	Rewind func(ctx context.Context, s *Session) error
}

// StepError says which step ended a build.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e *StepError) Unwrap() error { return e.Err }

// TimeoutError is the cause of a context whose step took too long.
type TimeoutError struct {
	Step  string
	Limit time.Duration
}

func (e *TimeoutError) Error() string { return fmt.Sprintf("%s took longer than %s", e.Step, e.Limit) }

// cleanupGrace bounds how long the end of a build may take after it was cancelled.
const cleanupGrace = 2 * time.Minute

// grace is how long the end of a session's build may take: a cloud takes longer.
func grace(s *Session) time.Duration {
	if i, ok := s.Driver.(hypervisor.Imager); ok {
		return max(cleanupGrace, i.Patience())
	}
	return cleanupGrace
}

// Engine runs the steps of builds. One engine serves all builds of a daemon.
type Engine struct {
	Reapers Reapers
	Now     func() time.Time
	// Diagnose looks at a failed build while its machine still exists and returns what helps to understand it: the last
	// screen, the serial log. It may be nil.
	Diagnose func(ctx context.Context, s *Session, err error) error
	// ErrorCleanup runs the error-cleanup-provisioner of a plan. It may be nil.
	ErrorCleanup func(ctx context.Context, s *Session) error
	// Abandoned is told of a build whose machine is left to the user; it may be nil.
	Abandoned func(ctx context.Context, s *Session) error
	// StepChanged records where a build is; it may be nil.
	StepChanged func(ctx context.Context, s *Session, step string, phase StepPhase, took time.Duration)
}

// Result is how an attempt ended.
type Result struct {
	State State
	Step  string // the step that ended it, if it did not succeed
	Err   error
}

// Run does the steps in order and cleans up: after it returns, the ledger holds nothing of this build but what could not be
// removed, which the log says. What the user asked to leave (-on-error=abort) is no longer ours, and not in the ledger.
func (e *Engine) Run(parent context.Context, s *Session, steps []Step) Result {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	s.mu.Lock()
	s.abort = cancel
	s.mu.Unlock()

	err := e.steps(ctx, s, steps)
	result := Result{State: outcome(err, context.Cause(ctx)), Err: err}
	var failed *StepError
	if errors.As(err, &failed) {
		result.Step = failed.Step
	}
	keep := false
	if err != nil {
		keep = e.failed(ctx, s, &result)
	}
	e.end(ctx, s, keep)
	return result
}

func (e *Engine) steps(ctx context.Context, s *Session, steps []Step) error {
	for i, step := range steps {
		if step.Needed != nil && !step.Needed(s) {
			continue
		}
		if step.Cached != nil {
			if how := step.Cached(s); how != "" {
				e.changed(ctx, s, step.Name, StepCached, 0, how)
				continue
			}
		}
		if err := e.insist(ctx, s, step); err != nil {
			return err
		}
		if s.Plan.Options.Debug && i < len(steps)-1 {
			pause := Question{Step: step.Name, Choices: []string{"continue"},
				Text: fmt.Sprintf("Pausing after run of step %q. Press enter to continue.", step.Name)}
			if _, err := s.Ask.Ask(ctx, pause); err != nil {
				return &StepError{step.Name, cause(ctx, err)}
			}
		}
	}
	return nil
}

// insist runs a step, again and again as long as the user wants to.
func (e *Engine) insist(ctx context.Context, s *Session, step Step) error {
	for {
		err := e.step(ctx, s, step)
		if err == nil || !e.retry(ctx, s, step, err) {
			return err
		}
		if step.Rewind == nil {
			continue
		}
		rewind := Step{Name: "rewind " + step.Name, Do: step.Rewind}
		if err := e.step(ctx, s, rewind); err != nil {
			return err
		}
	}
}

// step runs one step and tells how it went.
func (e *Engine) step(ctx context.Context, s *Session, step Step) error {
	began := e.Now()
	e.changed(ctx, s, step.Name, StepBegan, 0, "")
	err := do(ctx, s, step)
	took := e.Now().Sub(began)
	if err == nil {
		e.changed(ctx, s, step.Name, StepDone, took, "")
		return nil
	}
	var p *panicError
	if errors.As(err, &p) {
		s.Debug.Error("step panicked", "step", step.Name, "panic", p.value, "stack", string(p.stack))
	}
	e.changed(ctx, s, step.Name, StepFailed, took, err.Error())
	return &StepError{step.Name, err}
}

// do calls the function of a step within its time limit.
func do(ctx context.Context, s *Session, step Step) error {
	if step.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, step.Timeout, &TimeoutError{step.Name, step.Timeout})
		defer cancel()
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return cause(ctx, protect("step "+step.Name, func() error { return step.Do(ctx, s) }))
}

func (e *Engine) changed(ctx context.Context, s *Session, name string, phase StepPhase, took time.Duration, text string) {
	s.Log.step(name, phase, took, text)
	if e.StepChanged != nil {
		e.StepChanged(context.WithoutCancel(ctx), s, name, phase, took)
	}
}

// cause replaces a bare "context canceled" by why the context was cancelled.
func cause(ctx context.Context, err error) error {
	why := context.Cause(ctx)
	if why == nil || errors.Is(err, why) || !(errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return err
	}
	return why
}

// The answers to a failed step under -on-error=ask, as Packer offers them.
const (
	answerCleanup = "clean up and exit"
	answerAbort   = "abort without cleanup"
	answerRetry   = "retry step (build may fail even if retry succeeds)"
	// answerRemove ends the wait of a build with --keep.
	answerRemove = "remove the machine"
)

// retry asks what to do about a failed step, if the user wants to be asked, and turns the answer into the plan's option.
func (e *Engine) retry(ctx context.Context, s *Session, step Step, err error) bool {
	if s.Plan.Options.OnError != OnErrorAsk || ctx.Err() != nil {
		return false
	}
	s.Log.Error("Step %q failed: %v", step.Name, err)
	answer, askErr := s.Ask.Ask(ctx, Question{Step: step.Name, Text: fmt.Sprintf("Step %q failed", step.Name),
		Choices: []string{answerCleanup, answerAbort, answerRetry}})
	switch {
	case askErr != nil:
		return false
	case answer == answerRetry:
		return true
	case answer == answerAbort:
		s.Plan.Options.OnError = OnErrorAbort
	}
	return false
}

// failed gathers evidence, runs the error-cleanup-provisioner, and tells whether everything is to be left as it is. Somebody
// who cancels wants none of it.
func (e *Engine) failed(ctx context.Context, s *Session, r *Result) (keep bool) {
	if r.State == Canceled || r.State == Interrupted {
		return false
	}
	r.Err = e.diagnose(ctx, s, r.Err)
	e.hold(ctx, s, r)
	on := s.Plan.Options.OnError
	if on != OnErrorAbort {
		e.errorCleanup(ctx, s)
	}
	return on == OnErrorAbort || on == OnErrorRunCleanup
}

// hold keeps the machine of a failed build, if that was asked for, until somebody lets it go.
func (e *Engine) hold(ctx context.Context, s *Session, r *Result) {
	if !s.Plan.Options.Keep || s.Machine == nil || ctx.Err() != nil {
		return
	}
	s.Log.Error("Step %q failed: %v", r.Step, r.Err)
	// Whatever the answer is, or the lack of one: the build ends as it failed.
	_, _ = s.Ask.Ask(ctx, Question{Step: r.Step, Hold: true, Choices: []string{answerRemove},
		Text: fmt.Sprintf("The machine of the failed build is kept (--keep). `boxkiln ssh %[1]s` opens a shell in it; `boxkiln builds cancel %[1]s` ends it.", s.Build)})
}

// diagnose adds evidence to err. It looks even if the build was aborted, for a bounded time.
func (e *Engine) diagnose(ctx context.Context, s *Session, err error) error {
	if e.Diagnose == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupGrace)
	defer cancel()
	told := err
	if fault := protect("diagnosis", func() error { told = e.Diagnose(ctx, s, err); return nil }); fault != nil {
		s.Log.Error("clean-up: %v", fault)
	}
	return told
}

// errorCleanup runs the error-cleanup-provisioner, as long as there is a guest. A cancel reaches it.
func (e *Engine) errorCleanup(ctx context.Context, s *Session) {
	if e.ErrorCleanup == nil || s.Guest == nil || s.Plan.ErrorCleanup == nil || ctx.Err() != nil {
		return
	}
	if err := protect("error-cleanup-provisioner", func() error { return e.ErrorCleanup(ctx, s) }); err != nil {
		s.Log.Error("error-cleanup-provisioner: %v", err)
	}
}

// end closes what the session opened and reaps what the attempt holds. What could not be removed stays in the ledger, and
// the log says so.
func (e *Engine) end(ctx context.Context, s *Session, keep bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace(s))
	defer cancel()
	s.ExpectOff()
	if err := s.closeAll(); err != nil {
		s.Debug.Warn("closing at the end of a build", "err", err)
	}
	if keep {
		e.abandon(ctx, s)
		return
	}
	err := e.Reapers.ReapAll(ctx, s.Ledger, s.Build, func(res Resource, err error) {
		s.Log.Error("could not remove the %s %s: %v; it is tried again when the daemon starts", res.Kind, res.Name, err)
	})
	if err != nil {
		s.Log.Error("clean-up: %v", err)
	}
}

// abandon leaves the machine and the files of an attempt to the user, and says where they are.
func (e *Engine) abandon(ctx context.Context, s *Session) {
	held, err := s.Ledger.Held(ctx, s.Build)
	if err == nil && e.Abandoned != nil {
		err = e.Abandoned(ctx, s)
	}
	if err != nil {
		s.Log.Error("clean-up: %v", err)
		return
	}
	for _, res := range held {
		if res.Kind == KindCheckpoint {
			err := s.Ledger.Release(ctx, res)
			if err != nil {
				s.Log.Error("clean-up: %v", err)
			}
			continue
		}
		s.Log.Say("Leaving the %s %s as it is, because of -on-error=%s", res.Kind, res.Name, s.Plan.Options.OnError)
		if err := s.Ledger.Release(ctx, res); err != nil {
			s.Log.Error("clean-up: %v", err)
		}
	}
}
