package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/provenance"
	"github.com/boxkiln/boxkiln/boxregistry/signing"
	"github.com/boxkiln/boxkiln/daemon/api"
	"github.com/boxkiln/boxkiln/daemon/client"
)

// verifyOptions are the switches of `boxkiln box verify`.
type verifyOptions struct {
	version, provider, arch, key string
	json                         bool
}

func newBoxVerifyCommand(env *environment) *cobra.Command {
	o := &verifyOptions{}
	cmd := &cobra.Command{
		Use:   "verify FILE|URL|ORG/BOX",
		Short: "Check the signature and the provenance of a box, and show what it was built from",
		Long: `Check that a box is one that a registry's own build made, and that nobody changed it since: the signature of the box,
its sha256, the signature of its provenance, and that the provenance is about this box. Then show what it was built from.

FILE is a box on this machine, with the files that the registry serves beside it in the same folder: FILE.minisig,
provenance.json, provenance.json.minisig, and sbom.cdx.json if there is one. URL is a download URL; the others are
fetched from beside it. ORG/BOX is a box in the daemon's registry.

Everything is checked against the registry's public key: --key, or the daemon's on this machine, which file permissions
vouch for. The key that a server sends along with its boxes proves nothing about them, so --server needs --key: fetch
minisign.pub once by a way that you trust, and keep it. Ends with 1 if anything is not right.` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.key, "key", "", "public key: a file such as minisign.pub, or the key itself (RW...)")
	f.StringVar(&o.version, "version", "", "version that the box must be, or of ORG/BOX, a requirement such as \"~> 1.2\"; the highest unless given")
	f.StringVar(&o.provider, "provider", "", "provider that the box must be for; may be left out where there is one only")
	f.StringVar(&o.arch, "architecture", "", "architecture that the box must be for; the provider's default unless given")
	f.BoolVar(&o.json, "json", false, "print an object")
	return cmd
}

func (o *verifyOptions) run(ctx context.Context, env *environment, target string) error {
	key, from, err := o.publicKey(ctx, env)
	if err != nil {
		return err
	}
	source, want, err := o.find(ctx, env, target)
	if err != nil {
		return err
	}
	defer source.close()
	box, err := source.open(ctx, theBox)
	if err != nil {
		return err
	}
	defer box.Close()
	e, err := collect(ctx, source)
	if err != nil {
		return err
	}
	e.Box = box
	r, err := provenance.Verify(e, key, want)
	if err != nil {
		return fmt.Errorf("read %s: %w", target, err)
	}
	if o.json {
		err = json.NewEncoder(env.stdout).Encode(r)
	} else {
		err = printReport(env, target, from, r)
	}
	if err == nil && r.Failed() {
		err = silentError{exitFailed}
	}
	return err
}

// publicKey is the key to check with, and where it is from.
func (o *verifyOptions) publicKey(ctx context.Context, env *environment) (key signing.PublicKey, from string, err error) {
	switch {
	case o.key != "":
		key, err = readKey(o.key)
		return key, "given with --key", err
	case env.remote():
		return key, "", errors.New("a server that sends false boxes sends a false key too: fetch its " + api.PublicKeyPath +
			" once by a way that you trust, and give it with --key")
	}
	c, err := env.client()
	if err != nil {
		return key, "", err
	}
	defer c.Close()
	body, err := c.Fetch(ctx, api.PublicKeyPath)
	if errors.Is(err, client.ErrNoDaemon) {
		return key, "", fmt.Errorf("%w: give the registry's public key with --key, or start the daemon that has it", err)
	}
	if err != nil {
		return key, "", err
	}
	text, err := readSmall(body)
	if err != nil {
		return key, "", err
	}
	key, err = signing.ParsePublicKey(string(text))
	return key, "of the daemon on this machine", err
}

// readKey reads a key, or the file that has it.
func readKey(text string) (signing.PublicKey, error) {
	data, err := os.ReadFile(text)
	switch {
	case err == nil:
		text = string(data)
	case !strings.HasPrefix(text, "RW"):
		return signing.PublicKey{}, fmt.Errorf("--key: %w", err)
	}
	key, err := signing.ParsePublicKey(text)
	if err != nil {
		err = fmt.Errorf("--key: %w", err)
	}
	return key, err
}

// maxBeside bounds the files beside a box, in bytes.
const maxBeside = 64 << 20

// readSmall reads a file that lies beside a box, and closes it.
func readSmall(r io.ReadCloser) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBeside+1))
	if err == nil && len(data) > maxBeside {
		err = fmt.Errorf("it is larger than %d MiB", maxBeside>>20)
	}
	return data, errors.Join(err, r.Close())
}

// wanted is what the switches say that the box must be.
func (o *verifyOptions) wanted() (w provenance.Wanted, err error) {
	var errs [3]error
	if o.version != "" {
		w.Version, errs[0] = boxregistry.ParseVersion(o.version)
	}
	if o.provider != "" {
		w.Provider, errs[1] = boxregistry.ParseProvider(o.provider)
	}
	if o.arch != "" {
		w.Architecture, errs[2] = boxregistry.ParseArchitecture(o.arch)
	}
	return w, errors.Join(errs[:]...)
}

// find tells what the target is, and where its files are.
func (o *verifyOptions) find(ctx context.Context, env *environment, target string) (boxSource, provenance.Wanted, error) {
	if strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://") {
		w, err := o.wanted()
		return webBox{target}, w, err
	}
	_, statErr := os.Stat(target)
	name, nameErr := boxregistry.ParseName(target)
	switch {
	case statErr == nil:
		w, err := o.wanted()
		return fileBox{target}, w, err
	case nameErr != nil && errors.Is(statErr, fs.ErrNotExist):
		return nil, provenance.Wanted{}, fmt.Errorf("%q is neither a file here, nor a URL, nor the name of a box", target)
	case nameErr != nil:
		return nil, provenance.Wanted{}, statErr
	}
	return o.findInRegistry(ctx, env, name)
}

// collect reads what lies beside the box, as far as it is there.
func collect(ctx context.Context, s boxSource) (e provenance.Evidence, err error) {
	for name, to := range map[besideName]*[]byte{boxSignature: &e.BoxSignature, statement: &e.Statement,
		statementSignature: &e.StatementSignature, packageList: &e.SBOM} {
		r, err := s.open(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			*to, err = readSmall(r)
		}
		if err != nil {
			return e, fmt.Errorf("%s: %w", name, err)
		}
	}
	return e, nil
}

// printReport prints the checks and what the box was built from; what is wrong goes to stderr, a sentence each.
func printReport(env *environment, target, from string, r provenance.Report) error {
	out := env.stdout
	fmt.Fprintf(out, "%s\n  sha256  %s\n  key     %s, %s\n", filepath.ToSlash(target), r.Digest, r.Key, from)
	if r.Identity != "" {
		fmt.Fprintf(out, "  signed  as %s\n", strings.TrimSuffix(r.Identity, " sha256:"+string(r.Digest)))
	}
	for _, f := range r.Findings {
		if f.Error == "" {
			fmt.Fprintf(out, "  ok      %s\n", f.Check)
		} else {
			fmt.Fprintf(env.stderr, "Error: %s: %s\n", f.Check, f.Error)
		}
	}
	if r.Failed() || r.Statement == nil {
		return nil // what was not proved is not repeated
	}
	return printStatement(out, r)
}
