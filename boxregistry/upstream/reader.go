package upstream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Reader reads what places offer.
type Reader struct {
	Fetcher *Fetcher
	// Token is sent to the host of the place, and to no other.
	Token string
	// Local permits to read files of this machine. Without it a LocalPath is refused.
	Local bool
	// Number is the version of a box file that comes without a catalog; its name, provider and architecture are in the
	// file or chosen by whoever imports it.
	Number boxregistry.Version
	// Tell is told of waits; nil for nobody.
	Tell Tell
}

func (r Reader) tell(s Status) {
	if r.Tell != nil {
		r.Tell(s)
	}
}

// ErrNoBoxes says that a place offers nothing that could be imported.
var ErrNoBoxes = errors.New("no boxes there")

// Read reads what a place offers. It is an ErrNoBoxes when that is nothing at all; the offer then says what was passed over.
func (r Reader) Read(ctx context.Context, p Place) (Offer, error) {
	offer, err := r.read(ctx, p)
	if err != nil {
		return offer, fmt.Errorf("read %s: %w", p, err)
	}
	if len(offer.Boxes) == 0 {
		return offer, fmt.Errorf("%s: %w", p, ErrNoBoxes)
	}
	return offer, nil
}

func (r Reader) read(ctx context.Context, p Place) (Offer, error) {
	switch p.Kind {
	case LocalPath:
		if !r.Local {
			return Offer{}, errors.New("a path is read only for the user that the daemon runs as; send the files instead, or give a URL")
		}
		return r.readPath(ctx, p.Base)
	case HCPRegistry:
		return r.readHCP(ctx, p)
	case CloudOrg:
		return r.readOrg(ctx, p)
	}
	return r.readURL(ctx, p.Base)
}

// access is the credential for the host of an address.
func (r Reader) access(at string) Access {
	u, err := url.Parse(at)
	if err != nil || r.Token == "" {
		return Access{}
	}
	return Access{Host: u.Host, Token: r.Token}
}

// readURL reads a catalog or takes a box file.
func (r Reader) readURL(ctx context.Context, at string) (Offer, error) {
	doc, err := r.Fetcher.document(ctx, at, r.access(at), r.tell)
	if err != nil {
		return Offer{}, err
	}
	if doc.body == nil {
		return r.single(Origin{Kind: AtURL, At: at, Access: r.access(at)}, urlBase(at))
	}
	c, err := ParseCatalog(doc.body)
	if err != nil {
		return Offer{}, fmt.Errorf("%w (it is %q)", err, doc.kind)
	}
	var offer Offer
	offer.add(c.Box(RemoteLocator(r.access(at))))
	return offer, nil
}

func urlBase(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return at
	}
	return path.Base(u.Path)
}

func (o *Offer) add(b Box, skipped []Skipped) {
	if len(b.Versions) > 0 {
		o.Boxes = append(o.Boxes, b)
	}
	o.Skipped = append(o.Skipped, skipped...)
}

// single offers one box file; its name is chosen by whoever imports it.
func (r Reader) single(o Origin, file string) (Offer, error) {
	if r.Number.IsZero() {
		return Offer{}, fmt.Errorf("%s is a single box file, which does not say its version: give one with --version, and its name with --as ORG/BOX", file)
	}
	return Offer{Boxes: []Box{{Versions: []Version{{Number: r.Number, Files: []File{{Origin: o}}}}}}}, nil
}

// readOrg asks a server like Vagrant Cloud for the boxes of an organisation, and then for the catalog of each. An address
// with one segment can also be a catalog itself.
func (r Reader) readOrg(ctx context.Context, p Place) (Offer, error) {
	list := p.Base + "/api/v2/user/" + url.PathEscape(p.Org)
	doc, err := r.Fetcher.document(ctx, list, r.access(list), r.tell)
	var status *StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
		return r.readURL(ctx, p.Base+"/"+url.PathEscape(p.Org))
	}
	if err != nil {
		return Offer{}, err
	}
	var org struct {
		Boxes []struct {
			Tag  string `json:"tag"`
			Name string `json:"name"`
		} `json:"boxes"`
	}
	if err := json.Unmarshal(doc.body, &org); err != nil {
		return Offer{}, fmt.Errorf("the list of boxes: %w", err)
	}
	var offer Offer
	for _, b := range org.Boxes {
		tag := b.Tag
		if tag == "" {
			tag = p.Org + "/" + b.Name
		}
		name, err := boxregistry.ParseName(tag)
		if err != nil {
			offer.skip(tag, err)
			continue
		}
		one, err := r.readURL(ctx, p.Base+"/api/v2/vagrant/"+url.PathEscape(name.Org())+"/"+url.PathEscape(name.Box()))
		if err != nil && ctx.Err() != nil {
			return offer, err
		}
		if err != nil {
			offer.skip(tag, err)
		}
		offer.join(one)
	}
	return offer, nil
}

func (o *Offer) join(other Offer) {
	o.Boxes = append(o.Boxes, other.Boxes...)
	o.Skipped = append(o.Skipped, other.Skipped...)
}

// readPath reads a catalog, a box file or a folder on this machine.
func (r Reader) readPath(ctx context.Context, at string) (Offer, error) {
	info, err := os.Stat(at)
	switch {
	case err != nil:
		return Offer{}, err
	case info.IsDir():
		return readFolder(ctx, at)
	case filepath.Ext(at) == ".json":
		return readLocalCatalog(filepath.Dir(at), at)
	}
	if strings.Contains(filepath.Base(at), vagrantSlash) && r.Number.IsZero() {
		if b, err := shadowBox(at); err == nil {
			return Offer{Boxes: []Box{b}}, nil
		}
	}
	return r.singleFile(ctx, at)
}

// singleFile offers a box file with its digest, so that it is known when it comes again.
func (r Reader) singleFile(ctx context.Context, at string) (Offer, error) {
	offer, err := r.single(Origin{Kind: AtFile, At: at}, filepath.Base(at))
	if err != nil {
		return offer, err
	}
	f, err := os.Open(at)
	if err != nil {
		return offer, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, contextReader{ctx, f}); err != nil {
		return offer, err
	}
	offer.Boxes[0].Versions[0].Files[0].Checksum = boxregistry.Checksum{Type: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
	return offer, nil
}

// contextReader ends a long read after ctx is cancelled.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Catalog reads the catalog at an address. It is an ErrNoCatalog when something else is there, a *StatusError when the
// server refuses.
func (f *Fetcher) Catalog(ctx context.Context, at string, access Access, tell Tell) (Catalog, error) {
	doc, err := f.document(ctx, at, access, tell)
	if err != nil {
		return Catalog{}, err
	}
	return ParseCatalog(doc.body)
}

// RemoteLocator takes addresses only: a catalog that came over a network must not make us read files of this machine.
// access is the credential for the host of the catalog.
func RemoteLocator(access Access) Locator {
	return func(at string) (Origin, error) {
		if _, err := parseURL(at); err != nil {
			return Origin{}, err
		}
		return Origin{Kind: AtURL, At: at, Access: access}, nil
	}
}
