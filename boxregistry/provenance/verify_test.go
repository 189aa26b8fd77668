package provenance_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/provenance"
	"github.com/boxkiln/boxkiln/boxregistry/signing"
)

const boxBytes = "the bytes of a box"

// signed makes a box with all that lies beside it.
func signed(t *testing.T, k *signing.Key, id provenance.Identity) provenance.Evidence {
	t.Helper()
	r := record(t, id.String())
	e := provenance.Evidence{Box: strings.NewReader(boxBytes), SBOM: r.SBOM}
	var err, boxErr, statementErr error
	e.Statement, err = json.Marshal(provenance.New(r))
	e.BoxSignature, boxErr = k.SignBytes([]byte(boxBytes), id.BoxComment())
	e.StatementSignature, statementErr = k.SignBytes(e.Statement, id.StatementComment())
	if err := errors.Join(err, boxErr, statementErr); err != nil {
		t.Fatal(err)
	}
	return e
}

func boxIdentity(t *testing.T) provenance.Identity {
	t.Helper()
	sum := sha256.Sum256([]byte(boxBytes))
	i := identity(t, id)
	i.Digest = blob.Digest(hex.EncodeToString(sum[:]))
	return i
}

func TestVerify(t *testing.T) {
	t.Parallel()
	k, i := key(t), boxIdentity(t)
	r, err := provenance.Verify(signed(t, k, i), k.Public(), provenance.Wanted{Box: i.Box, Version: i.Version, Provider: i.Provider, Architecture: i.Architecture, Digest: i.Digest})
	if err != nil || r.Failed() || r.Statement == nil || r.Identity != i.String() || r.Digest != i.Digest {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestVerifyRefuses changes one thing each: exactly the check that looks at it must fail.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	k, other := key(t), key(t)
	i := boxIdentity(t)
	older := identity(t, strings.Replace(i.String(), "1.2.0", "1.1.0", 1))
	for name, c := range map[string]struct {
		change func(*provenance.Evidence, *provenance.Wanted)
		check  string
		says   string
	}{
		"another box":        {func(e *provenance.Evidence, _ *provenance.Wanted) { e.Box = strings.NewReader("x") }, "signature of the box", "not what the key"},
		"no signature":       {func(e *provenance.Evidence, _ *provenance.Wanted) { e.BoxSignature = nil }, "signature of the box", "there is no vagrant.box.minisig"},
		"a stranger's":       {func(e *provenance.Evidence, _ *provenance.Wanted) { e.BoxSignature = signed(t, other, i).BoxSignature }, "signature of the box", other.Public().ID()},
		"an older version":   {func(_ *provenance.Evidence, w *provenance.Wanted) { w.Version = older.Version }, "name of the box", "version 1.2.0, and 1.1.0"},
		"another provider":   {func(_ *provenance.Evidence, w *provenance.Wanted) { w.Provider = "virtualbox" }, "name of the box", "provider libvirt"},
		"another catalog":    {func(_ *provenance.Evidence, w *provenance.Wanted) { w.Digest = digestOf("b") }, "sha256 in the catalog", "was expected"},
		"no statement":       {func(e *provenance.Evidence, _ *provenance.Wanted) { e.Statement = nil }, "signature of the provenance", "there is no provenance.json beside"},
		"unsigned statement": {func(e *provenance.Evidence, _ *provenance.Wanted) { e.StatementSignature = nil }, "signature of the provenance", "there is no provenance.json.minisig"},
		"forged statement": {func(e *provenance.Evidence, _ *provenance.Wanted) {
			e.Statement = []byte(strings.Replace(string(e.Statement), "tcg", "kvm", 1))
		}, "signature of the provenance", "not what the key"},
		"another's statement": {func(e *provenance.Evidence, _ *provenance.Wanted) { take(t, e, signed(t, k, identity(t, id))) }, "subject of the provenance", "sha256"},
		"older statement":     {func(e *provenance.Evidence, _ *provenance.Wanted) { take(t, e, signed(t, k, older)) }, "subject of the provenance", "and the box was signed as"},
		"box's signature for the statement": {func(e *provenance.Evidence, _ *provenance.Wanted) {
			e.StatementSignature, _ = k.SignBytes(e.Statement, i.BoxComment())
		}, "subject of the provenance", "it was signed as"},
		"no provenance but signed": {func(e *provenance.Evidence, _ *provenance.Wanted) {
			e.Statement = []byte("{}")
			e.StatementSignature, _ = k.SignBytes(e.Statement, i.StatementComment())
		}, "subject of the provenance", "not a provenance statement"},
		"other packages": {func(e *provenance.Evidence, _ *provenance.Wanted) { e.SBOM = []byte("{}") }, "list of packages", "was expected"},
	} {
		e, w := signed(t, k, i), provenance.Wanted{}
		c.change(&e, &w)
		r, err := provenance.Verify(e, k.Public(), w)
		if err != nil || !r.Failed() {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		for _, f := range r.Findings {
			if (f.Error != "") != (f.Check == c.check) || f.Check == c.check && !strings.Contains(f.Error, c.says) {
				if name == "another box" && f.Check == "subject of the provenance" {
					continue // it is of the other one
				}
				t.Errorf("%s: %s: %q, want %q of %s", name, f.Check, f.Error, c.says, c.check)
			}
		}
	}
}

func take(t *testing.T, e *provenance.Evidence, from provenance.Evidence) {
	t.Helper()
	e.Statement, e.StatementSignature = from.Statement, from.StatementSignature
}

func key(t *testing.T) *signing.Key {
	t.Helper()
	k, err := signing.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVerifyOfABrokenBox(t *testing.T) {
	t.Parallel()
	k, broken := key(t), errors.New("the connection broke")
	e := signed(t, k, boxIdentity(t))
	e.Box = io.MultiReader(strings.NewReader("the"), iotest.ErrReader(broken))
	if _, err := provenance.Verify(e, k.Public(), provenance.Wanted{}); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
}
