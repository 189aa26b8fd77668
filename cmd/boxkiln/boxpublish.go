package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// publishOptions are the switches of `boxkiln box publish`.
type publishOptions struct {
	req                wire.UploadRequest
	description, notes string
	release            bool
	channels           []string
	chunk              sizeFlag
}

func newBoxPublishCommand(env *environment) *cobra.Command {
	o := &publishOptions{chunk: client.DefaultChunk}
	cmd := &cobra.Command{
		Use: "publish FILE --as ORG/BOX --version VERSION", Short: "Upload a box file into a version", Args: cobra.ExactArgs(1),
		Long: `Upload a box file as a file of a version. Box and version are made where they are missing. The version stays a draft, to which files
for other providers and architectures can be added, until it is released: by --release, or by ` + "`boxkiln box release`" + `.

An upload that was interrupted goes on where it was when the same command is given again within a day. The same file again does nothing.`,
		RunE: func(cmd *cobra.Command, args []string) error { return runBoxPublish(cmd.Context(), env, o, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.req.Box, "as", "", "the box, ORG/BOX")
	f.StringVar(&o.req.Version, "version", "", "the version")
	f.StringVar(&o.req.Provider, "provider", "", "provider; that of the box's metadata.json unless given")
	f.StringVar(&o.req.Architecture, "architecture", "", "architecture; that of the box's metadata.json unless given")
	f.BoolVar(&o.req.Default, "default-architecture", false, "clients that ask for no architecture get this one")
	f.BoolVar(&o.req.Private, "private", false, "a new box is only for whoever may read in the organisation")
	f.BoolVar(&o.req.Replace, "replace", false, "in the place of another file of the draft")
	f.StringVar(&o.description, "description", "", "description of a new box in Markdown, or @FILE")
	f.StringVar(&o.notes, "version-description", "", "release notes of a new version in Markdown, or @FILE")
	f.BoolVar(&o.release, "release", false, "release the version afterwards")
	f.StringSliceVar(&o.channels, "channel", nil, "release it into this channel, such as candidate; again for more")
	f.Var(&o.chunk, "chunk-size", "how much is sent in one request")
	cobra.CheckErr(errors.Join(cmd.MarkFlagRequired("as"), cmd.MarkFlagRequired("version")))
	return cmd
}

func runBoxPublish(ctx context.Context, env *environment, o *publishOptions, path string) error {
	_, nameErr := boxregistry.ParseName(o.req.Box)
	_, versionErr := boxregistry.ParseVersion(o.req.Version)
	if err := errors.Join(nameErr, versionErr); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := o.announce(ctx, env, f); err != nil {
		return err
	}
	return env.withBoxes(ctx, func(c *client.Client) error {
		done, err := o.send(ctx, env, c, f)
		if err != nil {
			return err
		}
		said := "is published"
		if done {
			said = "is there already"
		}
		if o.release || len(o.channels) > 0 {
			if err := c.Release(ctx, o.req.Box, o.req.Version, o.channels...); err != nil {
				return err
			}
			said += ", and the version is released"
		}
		_, err = fmt.Fprintf(env.stdout, "%s %s %s/%s %s\n", o.req.Box, o.req.Version, o.req.Provider, o.req.Architecture, said)
		return err
	})
}

// announce completes the request with what the file says.
func (o *publishOptions) announce(ctx context.Context, env *environment, f *os.File) error {
	var descErr, notesErr error
	o.req.Description, descErr = textOrFile(o.description)
	o.req.VersionDescription, notesErr = textOrFile(o.notes)
	if err := errors.Join(descErr, notesErr); err != nil {
		return err
	}
	m, err := boxfile.ReadMetadata(ctx, f, boxfile.Limits{})
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	o.req.Provider = cmp.Or(o.req.Provider, m.Provider)
	o.req.Architecture = cmp.Or(o.req.Architecture, m.Architecture, string(boxregistry.UnknownArchitecture))
	st, err := f.Stat()
	if err != nil {
		return err
	}
	o.req.Size = st.Size()
	return env.withBar(o.req.Box+" "+o.req.Version, "checksum", func(tell func(done, total int64)) error {
		o.req.SHA256, err = hashFile(ctx, f, st.Size(), tell)
		return err
	})
}

// send uploads the file under a progress bar.
func (o *publishOptions) send(ctx context.Context, env *environment, c *client.Client, f *os.File) (done bool, err error) {
	err = env.withBar(o.req.Box+" "+o.req.Version, "upload", func(tell func(done, total int64)) error {
		_, done, err = c.Upload(ctx, o.req, f, client.UploadOptions{Chunk: int64(o.chunk), Progress: tell})
		return err
	})
	return done, err
}

// withBar shows a progress bar while fn runs, on a terminal.
func (e *environment) withBar(label, text string, fn func(tell func(done, total int64)) error) error {
	if !isTerminal(e.stderr) {
		return fn(nil)
	}
	b := newBars(e.stderr)
	defer b.close()
	return fn(func(done, total int64) { b.progress(build.Event{Label: label, Text: text, Done: done, Total: total}) })
}

// hashFile is the sha256 of a file.
func hashFile(ctx context.Context, f *os.File, size int64, tell func(done, total int64)) (string, error) {
	const step = 1 << 20
	h, buf := sha256.New(), make([]byte, step)
	for at := int64(0); at < size; {
		n, err := f.ReadAt(buf[:min(step, size-at)], at)
		if at += int64(n); err == nil {
			err = context.Cause(ctx)
		}
		if err != nil && !(errors.Is(err, io.EOF) && at == size) {
			return "", fmt.Errorf("%s: %w", f.Name(), err)
		}
		h.Write(buf[:n])
		if tell != nil {
			tell(at, size)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
