package shelllocal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/provisioners"
	"github.com/boxkiln/boxkiln/provisioners/guesttest"
	"github.com/boxkiln/boxkiln/provisioners/shelllocal"
)

func TestProvision(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := guesttest.Files{"a.sh": {Data: []byte("#!/bin/sh\npwd; echo $PACKER_BUILDER_TYPE; exit $1\n")}}
	env := guesttest.Env(files, nil, provisioners.Vars{BuilderType: "qemu"})
	env.Cwd = dir
	p, err := shelllocal.New(json.RawMessage(`{"script":"a.sh"}`), env)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = p.Provision(t.Context(), nil, &out)
	if diff := cmp.Diff("Running local shell script: a.sh\n"+dir+"\nqemu\n", out.String()); err != nil || diff != "" {
		t.Error(err, diff)
	}
	p, err = shelllocal.New(json.RawMessage(`{"inline":["exit 3"]}`), env)
	if err != nil {
		t.Fatal(err)
	}
	var exit *provisioners.ExitError
	if err := p.Provision(t.Context(), nil, &out); !errors.As(err, &exit) || exit.Status != 3 {
		t.Errorf("got %v", err)
	}
	if _, err := shelllocal.New(json.RawMessage(`{}`), env); err == nil || shelllocal.Check(json.RawMessage(`{}`)) == nil {
		t.Error("nothing to run was taken")
	}
}
