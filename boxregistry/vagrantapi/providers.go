package vagrantapi

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// checksumDigits is how many hexadecimal digits each checksum has.
var checksumDigits = map[string]int{"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}

// checksum reads what a client announces, and nothing when it announces nothing.
func (b providerBody) checksum() (boxregistry.Checksum, error) {
	kind, digits := lower(b.ChecksumType), lower(b.Checksum)
	if digits == "" || kind == "none" {
		return boxregistry.Checksum{}, nil
	}
	want, ok := checksumDigits[kind]
	if !ok {
		return boxregistry.Checksum{}, refuse(http.StatusUnprocessableEntity,
			"The checksum type %q is none of md5, sha1, sha256, sha384 and sha512; name the one that was used (--checksum-type).", b.ChecksumType)
	}
	if len(digits) != want || !isHex(digits) {
		return boxregistry.Checksum{}, refuse(http.StatusUnprocessableEntity,
			"The checksum %q is no %s: want %d hexadecimal digits and nothing else, so without the file name that sha256sum prints.", b.Checksum, kind, want)
	}
	return boxregistry.Checksum{Type: kind, Hex: digits}, nil
}

// elsewhere reads the URL of a file that is hosted elsewhere.
func (b providerBody) elsewhere() (string, error) {
	if b.URL == "" {
		return "", nil
	}
	u, err := url.Parse(b.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", refuse(http.StatusUnprocessableEntity, "The URL %q is not one that clients could fetch; want http:// or https:// and a host.", b.URL)
	}
	return u.String(), nil
}

// change puts what the client says into a file; what is left out stays.
func (b providerBody) change(f *boxregistry.File) error {
	sum, err := b.checksum()
	if err != nil {
		return err
	}
	elsewhere, err := b.elsewhere()
	if err != nil {
		return err
	}
	if b.Name != "" {
		f.Provider = boxregistry.Provider(b.Name)
	}
	if b.Architecture != "" {
		if f.Architecture, err = boxregistry.ParseArchitecture(b.Architecture); err != nil {
			return err
		}
	}
	f.URL = cmp.Or(elsewhere, f.URL)
	f.Default = f.Default || bool(b.DefaultArchitecture)
	if sum != (boxregistry.Checksum{}) {
		f.Declared = sum
	}
	if f.Digest != "" && sum.Type == "sha256" && sum.Hex != string(f.Digest) {
		forget(f)
	}
	return nil
}

// forget makes a file one that has yet to come: its maker has announced other bytes than are here, and those must not be
// released in their stead.
func forget(f *boxregistry.File) {
	*f = boxregistry.File{Provider: f.Provider, Architecture: f.Architecture, Default: f.Default, Declared: f.Declared, Created: f.Created}
}

// createProvider declares a file. Clients of v1 name no architecture. A file that was declared and never came, because an
// earlier run was broken off, is declared anew.
func (a *API) createProvider(r request) (any, error) {
	t, rel, err := a.writableRelease(r)
	if err != nil {
		return nil, err
	}
	body, err := readBody[providerBody](r, "provider")
	if err != nil {
		return nil, err
	}
	provider, err := boxregistry.ParseProvider(body.Name)
	if err != nil {
		return nil, err
	}
	if old, ok := slot(rel, provider, body.Architecture); ok {
		if err := redeclarable(t.Name, rel, old); err != nil {
			return nil, err
		}
		return a.editFile(r, t, rel, old, body)
	}
	f := boxregistry.File{Provider: provider, Architecture: boxregistry.UnknownArchitecture}
	if err := body.change(&f); err != nil {
		return nil, err
	}
	err = a.o.Editor.Declare(r.ctx(), t.Name, rel.Version, f)
	if errors.Is(err, boxregistry.ErrArchitectureMix) && body.Architecture == "" {
		f.Architecture = customary(t.Box, provider)
		err = a.o.Editor.Declare(r.ctx(), t.Name, rel.Version, f)
	}
	if err != nil {
		return nil, err
	}
	return a.fileAfterwards(r, t, rel.Version, f)
}

// redeclarable refuses to declare a file again whose bytes are here.
func redeclarable(name boxregistry.Name, rel boxregistry.Release, old boxregistry.File) error {
	if old.Digest == "" {
		return nil
	}
	if err := mutable(name, rel); err != nil {
		return err
	}
	return fmt.Errorf("version %s of %s: %w: the file of %s/%s; delete that one first, or choose another version",
		rel.Version, name, boxregistry.ErrExists, old.Provider, old.Architecture)
}

func lower(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}

// mutable refuses to change the files of a version that is no draft any more.
func mutable(name boxregistry.Name, rel boxregistry.Release) error {
	if rel.State == boxregistry.Draft {
		return nil
	}
	return fmt.Errorf("version %s of %s: %w; publish under another number", rel.Version, name, boxregistry.ErrImmutable)
}

// slot finds the place of a file as a path or a body names it: without an architecture, the provider's default.
func slot(rel boxregistry.Release, p boxregistry.Provider, arch string) (boxregistry.File, bool) {
	a, _ := boxregistry.ParseArchitecture(arch)
	i := slices.IndexFunc(rel.Files, func(f boxregistry.File) bool {
		return f.Provider == p && (arch == "" && f.Default || arch != "" && f.Architecture == a)
	})
	if i < 0 {
		return boxregistry.File{}, false
	}
	return rel.Files[i], true
}

// customary is the architecture that a box has had for a provider by default, most lately. A client that knows of none
// publishes for that one: the box cannot go back to "unknown".
func customary(b boxregistry.Box, p boxregistry.Provider) boxregistry.Architecture {
	for _, rel := range b.Releases {
		if f, ok := slot(rel, p, ""); ok {
			return f.Architecture
		}
	}
	return boxregistry.UnknownArchitecture
}

// fileAfterwards is a file as a change left it.
func (a *API) fileAfterwards(r request, t target, v boxregistry.Version, f boxregistry.File) (any, error) {
	b, err := a.boxes.Box(r.ctx(), t.Name)
	if err != nil {
		return nil, err
	}
	rel, _ := b.Release(v)
	now, ok := slot(rel, f.Provider, string(f.Architecture))
	if !ok {
		return nil, fmt.Errorf("%s %s %s/%s: %w", t.Name, v, f.Provider, f.Architecture, boxregistry.ErrNotFound)
	}
	return r.urls().provider(t.Name, v, now), nil
}

// editFile changes a file as the client says. To say what is so already is no change, and so no error of a released version.
func (a *API) editFile(r request, t target, rel boxregistry.Release, old boxregistry.File, body providerBody) (any, error) {
	after := old
	if err := body.change(&after); err != nil {
		return nil, err
	}
	if same(old, after) {
		return r.urls().provider(t.Name, rel.Version, old), nil
	}
	err := a.o.Editor.EditFile(r.ctx(), t.Name, rel.Version, old.Provider, old.Architecture, body.change)
	if err != nil {
		return nil, err
	}
	return a.fileAfterwards(r, t, rel.Version, after)
}

func same(old, after boxregistry.File) bool {
	return old.Provider == after.Provider && old.Architecture == after.Architecture && old.URL == after.URL && old.Default == after.Default &&
		(old.Declared == after.Declared || checksumOf(old) == after.Declared)
}

// file finds the file that the path names in a version.
func (r request) file(rel boxregistry.Release) (boxregistry.File, error) {
	f, ok := slot(rel, boxregistry.Provider(r.Param("provider")), r.Param("arch"))
	if !ok {
		return f, refuse(http.StatusNotFound, "Resource not found! Version %s has no file for %s.", rel.Version, r.slotName())
	}
	return f, nil
}

// slotName is what the path calls the file.
func (r request) slotName() string {
	if arch := r.Param("arch"); arch != "" {
		return r.Param("provider") + "/" + arch
	}
	return r.Param("provider")
}

func (a *API) getProvider(r request) (any, error) {
	t, err := a.readable(r)
	if err != nil {
		return nil, err
	}
	rel, err := r.release(t.Box)
	if err != nil {
		return nil, err
	}
	f, err := r.file(rel)
	return r.urls().provider(t.Name, rel.Version, f), err
}

func (a *API) updateProvider(r request) (any, error) {
	t, rel, err := a.writableRelease(r)
	if err != nil {
		return nil, err
	}
	f, err := r.file(rel)
	if err != nil {
		return nil, err
	}
	body, err := readBody[providerBody](r, "provider")
	if err != nil {
		return nil, err
	}
	return a.editFile(r, t, rel, f, body)
}

// deleteProvider takes a file out of a draft. Packer cleans up after itself with a path of v2 that names no architecture: that
// takes out what has no bytes, lest it remove what another Packer has uploaded for another architecture.
func (a *API) deleteProvider(r request) (any, error) {
	t, rel, err := a.writableRelease(r)
	if err != nil {
		return nil, err
	}
	f, err := r.file(rel)
	if err != nil {
		return nil, err
	}
	doomed := []boxregistry.File{f}
	if r.version == "v2" && r.Param("arch") == "" {
		doomed = undelivered(rel, f.Provider)
		if len(doomed) == 0 {
			return nil, refuse(http.StatusUnprocessableEntity, "All files of %s %s for %s are here; name the architecture of the one to delete: …/provider/%s/%s",
				t.Name, rel.Version, f.Provider, f.Provider, f.Architecture)
		}
	}
	for _, f := range doomed {
		if err := a.o.Editor.DeleteFile(r.ctx(), t.Name, rel.Version, f.Provider, f.Architecture); err != nil {
			return nil, err
		}
	}
	return r.urls().provider(t.Name, rel.Version, doomed[0]), nil
}

func undelivered(rel boxregistry.Release, p boxregistry.Provider) []boxregistry.File {
	return slices.DeleteFunc(slices.Clone(rel.Files), func(f boxregistry.File) bool { return f.Provider != p || f.Complete() })
}
