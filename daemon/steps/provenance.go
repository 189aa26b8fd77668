package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/boxregistry/provenance"
	"github.com/boxkiln/boxkiln/boxregistry/signing"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/redact"
)

// History tells the steps of a build.
type History interface {
	// Steps are those of all attempts, in order.
	Steps(ctx context.Context, id build.ID) ([]build.StepRecord, error)
}

// hashedWriter computes what the signature signs while the box goes into the store, on another processor where there is one.
type hashedWriter struct {
	blob.Writer
	hash hash.Hash
}

func (w hashedWriter) Write(p []byte) (n int, err error) {
	var both sync.WaitGroup
	both.Go(func() { w.hash.Write(p) })
	n, err = w.Writer.Write(p)
	both.Wait()
	return n, err
}

// openWriter begins a box whose hash will be in h. It stays nil for bytes that are signed already: a box that is published again
// unchanged is not hashed again.
func (t *Set) openWriter(ctx context.Context, box *hypervisor.File, h *hash.Hash) (blob.Writer, error) {
	w, err := t.Registry.OpenWriter(ctx)
	if err != nil || t.Signer == nil || box != nil && t.signed(ctx, blob.Digest(box.SHA256)) {
		return w, err
	}
	*h = signing.NewHash()
	return hashedWriter{w, *h}, nil
}

// signed tells whether there is a signature that can be given another comment.
func (t *Set) signed(ctx context.Context, d blob.Digest) bool {
	if d == "" {
		return false
	}
	_, err := t.signAgain(ctx, d, "")
	return err == nil
}

// signAgain gives a signature that the box has already another comment.
func (t *Set) signAgain(ctx context.Context, d blob.Digest, comment string) ([]byte, error) {
	files, err := t.Registry.Signatures(ctx, d)
	if err != nil {
		return nil, err
	}
	for _, file := range signing.Split(files) {
		said, err := signing.Comment(file)
		if err == nil {
			_, err = provenance.ParseIdentity(said) // else it is of a statement
		}
		if err != nil {
			continue
		}
		if text, err := t.Signer.Recomment([]byte(file), comment); err == nil {
			return text, nil
		}
	}
	return nil, fmt.Errorf("%w: none of this key", signing.ErrSignature)
}

// attest says what a stored box was built from, and puts beside it what proves that: the statement becomes the file's
// provenance; signatures and packages are kept by the digest of the box.
func (t *Set) attest(ctx context.Context, s *build.Session, pub *boxregistry.Publication, h hash.Hash) error {
	id := provenance.Identity{Box: pub.Box, Version: pub.Version, Provider: pub.File.Provider, Architecture: pub.File.Architecture, Digest: pub.File.Digest}
	var err error
	if pub.File.Provenance, err = json.Marshal(provenance.New(t.record(ctx, s, id, pub.File))); err != nil {
		return err
	}
	if s.Packages != nil {
		err = t.Registry.SetPackages(ctx, pub.File.Digest, s.Packages)
	}
	return build.OurFault(errors.Join(err, t.sign(ctx, pub.File, id, h)))
}

func (t *Set) sign(ctx context.Context, f boxregistry.File, id provenance.Identity, h hash.Hash) error {
	if t.Signer == nil {
		return nil
	}
	box, boxErr := t.signBox(ctx, f.Digest, id.BoxComment(), h)
	statement, statementErr := t.Signer.SignBytes(f.Provenance, id.StatementComment())
	if err := errors.Join(boxErr, statementErr); err != nil {
		return err
	}
	return t.Registry.AddSignatures(ctx, f.Digest, string(box)+string(statement))
}

// signBox signs a stored box by its hash. Without one, its signature gets another comment, or else it is read once more.
func (t *Set) signBox(ctx context.Context, d blob.Digest, comment string, h hash.Hash) ([]byte, error) {
	if h != nil {
		return t.Signer.Sign(h, comment)
	}
	if text, err := t.signAgain(ctx, d, comment); err == nil {
		return text, nil
	}
	r, err := t.openBox(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	h = signing.NewHash()
	if _, err := io.Copy(h, r); err != nil {
		return nil, err
	}
	return t.Signer.Sign(h, comment)
}

// record is the build in the words of provenance. What of it is not known is left out: a box with less said about it is better
// than none.
func (t *Set) record(ctx context.Context, s *build.Session, id provenance.Identity, f boxregistry.File) provenance.Record {
	hide := redact.New(s.Plan.Hidden()...).String
	r := provenance.Record{
		Identity: id, Template: hide(s.Plan.Shown(templatePath(s.Plan))), Source: hide(s.Plan.Label),
		Internal: provenance.Internal{Driver: s.Plan.Driver, Firmware: f.Firmware}, Dependencies: dependencies(s, hide),
		Builder: s.Tag.Install, Version: t.Version, Log: "/builds/" + string(s.Build), SBOM: s.Packages,
		Metadata: provenance.Metadata{InvocationID: string(s.Build), Attempt: s.Attempt, FinishedOn: t.Now().UTC().Truncate(time.Second), ArtifactOf: string(s.MadeBy)},
	}
	if f.Provider == boxfile.AWS {
		for _, id := range hypervisor.SortIDs(s.IDs) {
			r.Images = append(r.Images, id.URI())
		}
	}
	if f.Smoke.Tried() {
		r.Metadata.Smoke = &provenance.Smoke{Passed: f.Smoke.Passed, Detail: hide(f.Smoke.Detail), At: f.Smoke.At.UTC().Truncate(time.Second)}
	}
	if len(s.Plan.Packages.Package) > 0 {
		r.Metadata.Packaging = &provenance.Packaging{Guest: s.Packaging.Guest, Warnings: hidden(s.Packaging.Warnings, hide)}
	}
	if s.Machine != nil {
		r.Internal.Hypervisor, r.Internal.Accelerator = hypervisorOf(ctx, s)
	}
	t.steps(ctx, s, &r.Metadata)
	return r
}

// hidden is a list of texts without what nobody may see.
func hidden(texts []string, hide func(string) string) []string {
	var out []string
	for _, text := range texts {
		out = append(out, hide(text))
	}
	return out
}

// templatePath is where the template lies on its user's machine.
func templatePath(p *build.Plan) string {
	if filepath.IsAbs(p.Template) {
		return p.Template
	}
	return filepath.Join(p.Cwd, p.Template)
}

// probeTimeout bounds the question for a version that nobody needs.
const probeTimeout = 5 * time.Second

func hypervisorOf(ctx context.Context, s *build.Session) (version, accelerator string) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	caps, err := s.Driver.Probe(ctx)
	if err != nil {
		s.Debug.Warn("the hypervisor's version is not in the provenance", "err", err)
	}
	return caps.Version, caps.Accelerator
}

// steps adds what the attempt did so far. The step that publishes runs still, and so has no place there.
func (t *Set) steps(ctx context.Context, s *build.Session, m *provenance.Metadata) {
	if t.History == nil {
		return
	}
	all, err := t.History.Steps(ctx, s.Build)
	if err != nil {
		s.Debug.Warn("the steps are not in the provenance", "err", err)
	}
	for _, st := range all {
		if st.Attempt != s.Attempt {
			continue
		}
		if m.StartedOn.IsZero() {
			m.StartedOn = st.Began.Time().UTC().Truncate(time.Second)
		}
		if st.Phase != build.StepBegan {
			m.Steps = append(m.Steps, provenance.Step{Name: st.Name, Phase: string(st.Phase), Seconds: st.Seconds})
		}
	}
}

// dependencies are all that went into the build: the template, the files that it names, the medium or base box, the checkout.
func dependencies(s *build.Session, hide func(string) string) []provenance.Resource {
	var list []provenance.Resource
	if c := s.Plan.Origin.Checkout; c != nil {
		r := provenance.Resource{URI: hide(c.Remote), Digest: provenance.Digest{GitCommit: c.Commit},
			Annotations: provenance.Annotations{Role: provenance.RoleSource, Modified: c.Modified}}
		if r.URI != "" {
			r.URI = "git+" + r.URI
		}
		list = append(list, r)
	}
	list = append(list, files(s, s.Plan.Origin.Files, provenance.RoleTemplate, hide)...)
	if s.Media.URL != "" {
		list = append(list, medium(s, hide))
	}
	return append(list, files(s, s.Plan.Inputs, provenance.RoleInput, hide)...)
}

func files(s *build.Session, inputs []build.Input, role provenance.Role, hide func(string) string) []provenance.Resource {
	var list []provenance.Resource
	for _, in := range inputs {
		if in.Mode.IsDir() {
			continue
		}
		list = append(list, provenance.Resource{Name: hide(s.Plan.Shown(in.Path)), Digest: provenance.Digest{SHA256: in.Digest},
			Annotations: provenance.Annotations{Role: role}})
	}
	return list
}

// medium is what the machine began with.
func medium(s *build.Session, hide func(string) string) provenance.Resource {
	r := provenance.Resource{URI: s.BaseBox, Digest: provenance.Digest{SHA256: s.Media.SHA256.Hex},
		Annotations: provenance.Annotations{Role: provenance.RoleBaseBox}}
	if s.BaseBox == "" {
		r.URI, r.Annotations.Role = hide(public(s.Media.URL)), provenance.RoleMedium
	}
	return r
}

// public is a URL without what is only for its user: password, and the proofs that are in the queries of signed URLs. A path
// of the build host is its last element.
func public(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return text[strings.LastIndexAny(text, `/\`)+1:]
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
