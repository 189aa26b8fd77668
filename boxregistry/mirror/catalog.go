package mirror

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/upstream"
)

// mirrored is a box of another registry, with what is here of it.
type mirrored struct {
	name    boxregistry.Name
	box     upstream.Box
	fetched time.Time
	here    []boxregistry.MirroredFile
}

// mirrored finds a box of another registry. It returns boxregistry.ErrNotFound.
func (m *Mirror) mirrored(ctx context.Context, name boxregistry.Name) (mirrored, error) {
	src, ok := m.source(name.Org())
	if !ok || m.cfg.Visible != nil && !m.cfg.Visible(ctx, name) {
		return mirrored{}, fmt.Errorf("box %q: %w", name, boxregistry.ErrNotFound)
	}
	kept, err := m.catalog(ctx, src, name)
	if err != nil {
		return mirrored{}, err
	}
	catalog, err := upstream.ParseCatalog(kept.Body)
	if err != nil {
		return mirrored{}, fmt.Errorf("the kept catalog of %q: %w", name, err)
	}
	here, err := m.cfg.Cache.MirroredFiles(ctx, name)
	if err != nil {
		return mirrored{}, err
	}
	box, _ := catalog.Box(upstream.RemoteLocator(upstream.Access{}))
	return mirrored{name, box, kept.Fetched, here}, nil
}

// catalog is the catalog that is kept, or a new one when that is old.
func (m *Mirror) catalog(ctx context.Context, src Source, name boxregistry.Name) (boxregistry.MirroredCatalog, error) {
	kept, err := m.cfg.Cache.MirroredCatalog(ctx, name)
	have := err == nil
	if err != nil && !errors.Is(err, boxregistry.ErrNotFound) {
		return kept, err
	}
	if have && (m.cfg.Offline || m.cfg.Now().Sub(kept.Fetched) < m.cfg.TTL) {
		return kept, nil
	}
	if m.cfg.Offline {
		return kept, fmt.Errorf("box %q: %w, and the mirror is offline", name, boxregistry.ErrNotFound)
	}
	fresh, err := m.ask(ctx, src, name)
	if err != nil && have && ctx.Err() == nil {
		return kept, nil // it was said in the log
	}
	return fresh, err
}

// ask looks a catalog up. Those who ask for one at the same time share the look-up, which goes on when they leave; one
// that had no result is not repeated at once.
func (m *Mirror) ask(ctx context.Context, src Source, name boxregistry.Name) (boxregistry.MirroredCatalog, error) {
	if err := m.remembered(name); err != nil {
		return boxregistry.MirroredCatalog{}, err
	}
	result := m.lookups.DoChan(name.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(m.ctx, lookupTime)
		defer cancel()
		c, err := m.lookUp(ctx, src, name)
		if m.ctx.Err() == nil {
			m.remember(name, err)
		}
		return c, err
	})
	select {
	case r := <-result:
		c, _ := r.Val.(boxregistry.MirroredCatalog)
		return c, r.Err
	case <-ctx.Done():
		return boxregistry.MirroredCatalog{}, context.Cause(ctx)
	}
}

// remembered is why a box was not to be had a moment ago.
func (m *Mirror) remembered(name boxregistry.Name) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.asked[name]
	if !ok || m.cfg.Now().Sub(a.at) > retryAfter {
		return nil
	}
	return a.err
}

func (m *Mirror) remember(name boxregistry.Name, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		delete(m.asked, name)
		return
	}
	if len(m.asked) >= maxRemembered {
		clear(m.asked)
	}
	m.asked[name] = answer{m.cfg.Now(), err}
	if !errors.Is(err, boxregistry.ErrNotFound) {
		m.cfg.Log.Warn("mirror: a catalog could not be had; the one that is kept is used, if there is one", "box", name, "err", err)
	}
}

// lookUp asks the other registry and keeps what it says.
func (m *Mirror) lookUp(ctx context.Context, src Source, name boxregistry.Name) (boxregistry.MirroredCatalog, error) {
	select {
	case m.room <- struct{}{}:
		defer func() { <-m.room }()
	case <-ctx.Done():
		return boxregistry.MirroredCatalog{}, context.Cause(ctx)
	}
	catalog, err := m.first(ctx, src, name)
	if err != nil {
		return boxregistry.MirroredCatalog{}, fmt.Errorf("box %q: %w", name, err)
	}
	catalog.Name = name.String()
	body, err := json.Marshal(catalog)
	if err != nil {
		return boxregistry.MirroredCatalog{}, err
	}
	c := boxregistry.MirroredCatalog{Box: name, Body: body, Fetched: m.cfg.Now()}
	return c, m.cfg.Cache.KeepMirroredCatalog(ctx, c)
}

// first is the catalog at the first address that has one.
func (m *Mirror) first(ctx context.Context, src Source, name boxregistry.Name) (upstream.Catalog, error) {
	var problems []error
	missing := true
	for _, at := range src.catalogs(name) {
		c, err := m.lookup.Catalog(ctx, at, upstream.Access{}, func(upstream.Status) {})
		if err == nil {
			return c, nil
		}
		problems = append(problems, err)
		missing = missing && isMissing(err)
	}
	if missing {
		return upstream.Catalog{}, boxregistry.ErrNotFound
	}
	return upstream.Catalog{}, errors.Join(problems...)
}

// isMissing tells a registry that does not have a box from one that fails. One that answers with a page has no such
// address.
func isMissing(err error) bool {
	var status *upstream.StatusError
	return errors.Is(err, upstream.ErrNoCatalog) || errors.As(err, &status) &&
		(status.Code == http.StatusNotFound || status.Code == http.StatusGone || status.Code == http.StatusUnauthorized || status.Code == http.StatusForbidden)
}

// box is a mirrored box in the words of the registry. Offline it has only what is here.
func (m *Mirror) box(x mirrored) boxregistry.Box {
	b := boxregistry.Box{Name: x.name, ShortDescription: x.box.ShortDescription, Description: x.box.Description, Created: x.fetched, Updated: x.fetched}
	for _, v := range x.box.Versions {
		rel := boxregistry.Release{Version: v.Number, State: boxregistry.Released, Description: v.Description, Created: x.fetched,
			Updated: x.fetched, Released: x.fetched, Channels: []boxregistry.Channel{boxregistry.Stable}}
		for _, f := range v.Files {
			file, here := x.file(v, f)
			if here || !m.cfg.Offline {
				rel.Files = append(rel.Files, file)
			}
		}
		if len(rel.Files) > 0 {
			arrange(rel.Files)
			b.Releases = append(b.Releases, rel)
		}
	}
	return b
}

// file is a mirrored file in the words of the registry, and whether its bytes are here. A digest is known when the bytes
// are, or when the other registry announces it; a file without one has the address of the other registry.
func (x mirrored) file(v upstream.Version, f upstream.File) (boxregistry.File, bool) {
	out := boxregistry.File{Provider: f.Provider, Architecture: architecture(f), Default: f.Default, Declared: f.Checksum,
		Size: f.Size, Created: x.fetched, Published: x.fetched}
	if kept, ok := x.kept(v, f); ok {
		out.Digest, out.Size, out.Published = kept.Digest, kept.Size, kept.Fetched
		return out, true
	}
	if f.Checksum.Type == "sha256" {
		out.Digest = blob.Digest(f.Checksum.Hex)
	} else {
		out.URL = f.Origin.At
	}
	return out, false
}

// kept is what is known of the bytes of a file that are here.
func (x mirrored) kept(v upstream.Version, f upstream.File) (boxregistry.MirroredFile, bool) {
	i := slices.IndexFunc(x.here, func(k boxregistry.MirroredFile) bool {
		return k.Version.Compare(v.Number) == 0 && k.Provider == f.Provider && k.Architecture == architecture(f) && k.Source == source(f)
	})
	if i < 0 {
		return boxregistry.MirroredFile{}, false
	}
	return x.here[i], true
}

// architecture is that of the catalog. It is not looked up in the box: Vagrant 2.4.0 cannot bear a box whose architecture
// becomes known.
func architecture(f upstream.File) boxregistry.Architecture {
	return cmp.Or(f.Architecture, boxregistry.UnknownArchitecture)
}

// source is what the catalog says of the bytes.
func source(f upstream.File) string {
	if f.Checksum.Type != "" {
		return f.Checksum.Type + ":" + f.Checksum.Hex
	}
	return f.Origin.At
}

// arrange puts files in the order of the registry, by provider with the default last, and gives each provider one default:
// without a mark it is the last entry, which is the one that clients before 2.4 take.
func arrange(files []boxregistry.File) {
	for i, f := range files {
		marked := func(from int) int {
			return slices.IndexFunc(files[from:], func(g boxregistry.File) bool { return g.Provider == f.Provider && g.Default })
		}
		last := !slices.ContainsFunc(files[i+1:], func(g boxregistry.File) bool { return g.Provider == f.Provider })
		if last && marked(0) < 0 || f.Default && marked(i+1) < 0 {
			files[i].Default = true
		} else {
			files[i].Default = false
		}
	}
	slices.SortStableFunc(files, func(a, b boxregistry.File) int {
		order := func(f boxregistry.File) int {
			if f.Default {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), order(a)-order(b), cmp.Compare(a.Architecture, b.Architecture))
	})
}
