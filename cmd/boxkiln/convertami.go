package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// convertInstall is whose the images of `boxkiln convert` are: there is no data directory with an id of its own.
const convertInstall = "boxkiln-convert"

// amiImport makes the AMI of a conversion. There is no ledger: a file in the output folder says what is being made, before the first call, so
// that the same command finds it after it was killed and goes on. It is gone when the conversion ends, well or not.
type amiImport struct {
	drivers     map[string]hypervisor.Driver
	dir, region string
	log         io.Writer

	file string                  // what says so; empty before there is one
	made hypervisor.ImportHandle // what it says
}

// conversion is the content of the file.
type conversion struct {
	Handle hypervisor.ImportHandle `json:"handle"`
}

func (c *amiImport) importer() (hypervisor.Importer, error) {
	importer, ok := c.drivers[aws.Name].(hypervisor.Importer)
	if !ok {
		return nil, errors.New("this boxkiln makes no AMIs")
	}
	return importer, nil
}

// run is the Import of pack.Options.
func (c *amiImport) run(ctx context.Context, _ hypervisor.Package, r hypervisor.ImportRequest) (hypervisor.Artifact, error) {
	importer, err := c.importer()
	if err != nil {
		return hypervisor.Artifact{}, err
	}
	args, err := json.Marshal(map[string]string{"region": c.region})
	if err != nil {
		return hypervisor.Artifact{}, err
	}
	if err := c.begin(r.Title, args); err != nil {
		return hypervisor.Artifact{}, err
	}
	r.ImportHandle, r.Journal, r.Log = c.made, c.file+"-disk", c.log
	return importer.Import(ctx, r)
}

// begin writes down what is going to be made, or reads what was.
func (c *amiImport) begin(title string, args json.RawMessage) error {
	file := filepath.Join(c.dir, "."+title+".ami-import")
	data, err := os.ReadFile(file)
	if err == nil {
		var was conversion
		if err := json.Unmarshal(data, &was); err != nil {
			return fmt.Errorf("%s: %w; remove the file, and what `aws ec2 describe-snapshots --filters Name=tag:boxkiln:install,Values=%s` shows", file, err, convertInstall)
		}
		if string(was.Handle.Args) != string(args) {
			return fmt.Errorf("%s was begun with %s and is not finished: run that command again, or give another --name", title, was.Handle.Args)
		}
		fmt.Fprintf(c.log, "Going on with the AMI that was begun before\n")
		c.file, c.made = file, was.Handle
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	id := strings.ToLower(rand.Text())[:10]
	c.made = hypervisor.ImportHandle{Driver: aws.Name, Name: "boxkiln-convert-" + id, Args: args, Tag: hypervisor.Tag{Install: convertInstall, Build: id, Attempt: 1}}
	if data, err = json.Marshal(conversion{c.made}); err != nil {
		return err
	}
	if err := fsx.WriteFile(file, data, 0o600); err != nil {
		return err
	}
	c.file = file
	return nil
}

// removeTimeout bounds the clean-up of a conversion that was cancelled.
const removeTimeout = 5 * time.Minute

// end removes what was made, if the conversion has failed, and forgets it. What cannot be removed is kept in mind.
func (c *amiImport) end(ctx context.Context, failed error) error {
	if c.file == "" {
		return failed
	}
	if failed != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
		defer cancel()
		importer, err := c.importer()
		if err == nil {
			err = importer.RemoveImport(ctx, c.made)
		}
		if err != nil {
			return errors.Join(failed, fmt.Errorf("what was made for the AMI could not be removed: %w; run the command again", err))
		}
	}
	journals, err := filepath.Glob(c.file + "*") // the name has no pattern in it: see pack.CleanName
	for _, path := range journals {
		err = errors.Join(err, os.Remove(path))
	}
	return errors.Join(failed, err)
}
