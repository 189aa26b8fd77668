// Package shell runs scripts in the guest, as Packer's shell provisioner does.
//
// Each script is copied to the guest, run by execute_command, and removed. Copying and starting are one unit that is
// tried anew for start_retry_timeout, because a reboot that an earlier script began may take away the connection or the
// copy. A connection that ends under a script is an error unless expect_disconnect says otherwise.
package shell

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/internal/lines"
	"github.com/boxkiln/boxkiln/internal/scriptenv"
	"github.com/boxkiln/boxkiln/internal/shellquote"
	"github.com/boxkiln/boxkiln/provisioners"
)

const (
	defaultRetryTimeout = 5 * time.Minute
	retryPause          = time.Second
)

type provisioner struct {
	args   Args
	env    provisioners.Env
	unique func() int
	pause  time.Duration // between two tries
}

// New makes a provisioner of checked arguments. It is a provisioners.Factory.
func New(raw json.RawMessage, env provisioners.Env) (provisioners.Provisioner, error) {
	a, err := decode(raw)
	if err == nil {
		err = a.Validate()
	}
	if err != nil {
		return nil, err
	}
	unique := func() int { return rand.IntN(10_000) }
	return &provisioner{args: a.withDefaults(unique), env: env, unique: unique, pause: retryPause}, nil
}

// script is one thing to run.
type script struct {
	name    string // for the log
	content []byte
}

// Provision runs all scripts. A script that ends with a status that is not valid is a *provisioners.ExitError.
func (p *provisioner) Provision(ctx context.Context, g provisioners.Guest, out io.Writer) error {
	vars, err := p.variables()
	if err != nil {
		return err
	}
	scripts, err := p.scripts()
	if err != nil {
		return err
	}
	if p.args.ExpectDisconnect {
		planReboot(g)
	}
	varFile := ""
	if p.args.UseEnvVarFile {
		varFile = fmt.Sprintf("%s/varfile_%04d.sh", p.args.RemoteFolder, p.unique())
		if err := p.put(ctx, g, varFile, 0o600, []byte(vars)); err != nil {
			return err
		}
	}
	for _, s := range scripts {
		if err := p.run(ctx, g, out, s, map[string]string{"Vars": vars, "EnvVarFile": varFile, "Path": p.args.RemotePath}); err != nil {
			return err
		}
	}
	if err := p.remove(ctx, g, varFile); err != nil {
		return err
	}
	return p.rest(ctx, out)
}

// planReboot tells a guest that can make use of it that another system may answer after the script.
func planReboot(g provisioners.Guest) {
	if r, ok := g.(interface{ PlanReboot() }); ok {
		r.PlanReboot()
	}
}

// variables is the text of {{ .Vars }} and of the variable file.
func (p *provisioner) variables() (string, error) {
	vars, err := p.renderAll("environment_vars", p.args.EnvironmentVars)
	if err != nil {
		return "", err
	}
	if err := scriptenv.Check(vars, ""); err != nil {
		return "", err
	}
	env := make(map[string]string, len(p.args.Env))
	for name, value := range p.args.Env {
		if env[name], err = p.env.Render(value, nil); err != nil {
			return "", fmt.Errorf("env %s: %w", name, err)
		}
	}
	return scriptenv.Flatten(p.args.EnvVarFormat, p.env.Vars.Environment(), scriptenv.Split(vars), env), nil
}

func (p *provisioner) renderAll(argument string, texts []string) ([]string, error) {
	rendered := make([]string, len(texts))
	for i, text := range texts {
		var err error
		if rendered[i], err = p.env.Render(text, nil); err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", argument, i, err)
		}
	}
	return rendered, nil
}

// scripts reads the scripts, or makes one of the inline commands.
func (p *provisioner) scripts() ([]script, error) {
	if len(p.args.Inline) > 0 {
		commands, err := p.renderAll("inline", p.args.Inline)
		if err != nil {
			return nil, err
		}
		text := "#!" + p.args.InlineShebang + "\n" + strings.Join(commands, "\n") + "\n"
		return []script{{name: "inline", content: p.unix([]byte(text))}}, nil
	}
	var all []script
	for _, name := range p.args.scripts() {
		content, err := p.read(name)
		if err != nil {
			return nil, fmt.Errorf("script %q: %w", name, err)
		}
		all = append(all, script{name: name, content: p.unix(content)})
	}
	return all, nil
}

func (p *provisioner) read(name string) ([]byte, error) {
	f, err := p.env.Files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// unix gives lines the ends that a Unix interpreter understands.
func (p *provisioner) unix(content []byte) []byte {
	if p.args.Binary {
		return content
	}
	return bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
}

// run copies one script to the guest, runs it and removes it.
func (p *provisioner) run(ctx context.Context, g provisioners.Guest, out io.Writer, s script, data map[string]string) error {
	if _, err := fmt.Fprintf(out, "Provisioning with shell script: %s\n", s.name); err != nil {
		return err
	}
	command, err := p.env.Render(p.args.ExecuteCommand, data)
	if err != nil {
		return fmt.Errorf("execute_command: %w", err)
	}
	var status int
	err = p.retry(ctx, func() error {
		status, err = p.start(ctx, g, out, command, s.content)
		return err
	})
	if err != nil {
		return fmt.Errorf("shell script %s: %w", s.name, err)
	}
	if err := p.judge(s.name, status); err != nil {
		return err
	}
	return p.remove(ctx, g, p.args.RemotePath)
}

// start makes one try; a connection that is lost under the script is a status, since running it twice may do harm.
func (p *provisioner) start(ctx context.Context, g provisioners.Guest, out io.Writer, command string, content []byte) (int, error) {
	if err := g.Put(ctx, p.args.RemotePath, 0o755, bytes.NewReader(content)); err != nil {
		return 0, err
	}
	stdout, stderr := lines.Pair(out)
	status, err := g.Run(ctx, provisioners.Command{Line: command, Stdout: stdout, Stderr: stderr})
	if closeErr := lines.Close(stdout, stderr); err == nil {
		err = closeErr
	}
	if errors.Is(err, provisioners.ErrDisconnected) {
		return statusDisconnected, nil
	}
	return status, err
}

func (p *provisioner) judge(name string, status int) error {
	valid := p.args.ValidExitCodes
	if len(valid) == 0 {
		valid = []int{0}
	}
	switch {
	case slices.Contains(valid, status), status == statusDisconnected && p.args.ExpectDisconnect:
		return nil
	case status == statusDisconnected:
		return fmt.Errorf("shell script %s: %w; if that was meant, as with a reboot, set expect_disconnect = true", name, provisioners.ErrDisconnected)
	}
	return &provisioners.ExitError{Command: "shell script " + name, Status: status, Valid: valid}
}

func (p *provisioner) put(ctx context.Context, g provisioners.Guest, dst string, mode fs.FileMode, content []byte) error {
	return p.retry(ctx, func() error { return g.Put(ctx, dst, mode, bytes.NewReader(content)) })
}

// remove deletes a file of ours in the guest, which may just be rebooting.
func (p *provisioner) remove(ctx context.Context, g provisioners.Guest, name string) error {
	if p.args.SkipClean || name == "" {
		return nil
	}
	return p.retry(ctx, func() error {
		status, err := g.Run(ctx, provisioners.Command{Line: "rm -f " + shellquote.Quote(path.Clean(name))})
		if err != nil {
			return fmt.Errorf("remove %q from the guest: %w", name, err)
		}
		if status != 0 {
			return fmt.Errorf("remove %q from the guest: rm ended with exit status %d", name, status)
		}
		return nil
	})
}

// retry calls do until it works, start_retry_timeout is over, or the error cannot get better by waiting.
func (p *provisioner) retry(ctx context.Context, do func() error) error {
	limit := time.NewTimer(p.args.StartRetryTimeout.Or(defaultRetryTimeout))
	defer limit.Stop()
	for {
		err := do()
		if err == nil || final(err) {
			return err
		}
		next := time.NewTimer(p.pause)
		select {
		case <-ctx.Done():
			next.Stop()
			return context.Cause(ctx)
		case <-limit.C:
			next.Stop()
			return fmt.Errorf("%w (retried for start_retry_timeout)", err)
		case <-next.C:
		}
	}
}

// final tells errors of a guest that is there and will not change its mind.
func final(err error) bool {
	var e interface{ Final() bool }
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || errors.As(err, &e) && e.Final()
}

func (p *provisioner) rest(ctx context.Context, out io.Writer) error {
	pause := time.Duration(p.args.PauseAfter)
	if pause <= 0 {
		return nil
	}
	if _, err := fmt.Fprintf(out, "Pausing %v after this provisioner...\n", pause); err != nil {
		return err
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
