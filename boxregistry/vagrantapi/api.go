// Package vagrantapi is the face of the registry that Vagrant, Packer and the vagrant_cloud gem see: they take it for
// Vagrant Cloud.
//
// "vagrant box add org/box" asks HEAD and then GET for /org/box (from 2.4 on also /api/v2/vagrant/org/box), reads the
// catalog, chooses a version, a provider and an architecture, and downloads the URL that the catalog gives with curl,
// resuming where it was cut. "vagrant cloud publish" and Packer's vagrant-cloud post-processor talk to /api/v1 and /api/v2:
// they declare a box, a version and a file, ask where the bytes go, PUT them to /up/SECRET and release the version.
// Each rule here that looks odd keeps some released client working; the comments say which.
//
// Who asks is in the request's context ([auth.PrincipalFrom]); a handler before these routes puts it there, and must not
// refuse anybody: people carry tokens of other servers in their environment, and an unknown one must not break a public box
// (hashicorp/vagrant#11088). A private box looks like a missing one to strangers. Since Vagrant sends no password with the
// download of a box, the catalog of a private box gives URLs with a signature in them.
package vagrantapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Boxes is what this package reads of the registry.
type Boxes interface {
	// Box returns a box with all its versions, or boxregistry.ErrNotFound.
	Box(ctx context.Context, name boxregistry.Name) (boxregistry.Box, error)
	// OpenBlob reads a file of a version, or returns blob.ErrNotFound. A *os.File is sent by the kernel.
	OpenBlob(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error)
}

// Linker knows where else a client can fetch a file of a version.
type Linker interface {
	// LinkBlob returns a URL, or errors.ErrUnsupported when there is none, or blob.ErrNotFound.
	LinkBlob(ctx context.Context, d blob.Digest, o blob.LinkOptions) (string, error)
}

// Lister finds boxes.
type Lister interface {
	// List returns the boxes that q asks for, all with a Limit below zero, and how many there are without its limit.
	List(ctx context.Context, q boxregistry.ListQuery) (list []boxregistry.Summary, total int, err error)
}

// BoxEditor changes boxes; the errors are those of package boxregistry.
type BoxEditor interface {
	CreateBox(ctx context.Context, b boxregistry.Box) error
	EditBox(ctx context.Context, name boxregistry.Name, edit func(*boxregistry.Box) error) error
	DeleteBox(ctx context.Context, name boxregistry.Name) error
}

// VersionEditor changes versions; the errors are those of package boxregistry.
type VersionEditor interface {
	CreateVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version, description string) error
	DescribeVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version, description string) error
	Renumber(ctx context.Context, name boxregistry.Name, v, to boxregistry.Version) error
	DeleteVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error
	Release(ctx context.Context, name boxregistry.Name, v boxregistry.Version, channels ...boxregistry.Channel) error
	Promote(ctx context.Context, name boxregistry.Name, v boxregistry.Version, c boxregistry.Channel) error
	Revoke(ctx context.Context, name boxregistry.Name, v boxregistry.Version, why string) error
}

// FileEditor changes the files of drafts; the errors are those of package boxregistry.
type FileEditor interface {
	Declare(ctx context.Context, name boxregistry.Name, v boxregistry.Version, f boxregistry.File) error
	EditFile(ctx context.Context, name boxregistry.Name, v boxregistry.Version, p boxregistry.Provider, a boxregistry.Architecture,
		edit func(*boxregistry.File) error) error
	DeleteFile(ctx context.Context, name boxregistry.Name, v boxregistry.Version, p boxregistry.Provider, a boxregistry.Architecture) error
}

// Editor is the registry for those who may change it.
type Editor interface {
	Lister
	BoxEditor
	VersionEditor
	FileEditor
}

// Uploads receives the bytes of files.
type Uploads interface {
	// Begin opens the door for the bytes of a file that was declared in a draft, and returns the secret of its path. The same
	// place asked again returns the same secret while nothing has come. Errors: boxregistry.ErrNotFound, ErrImmutable, ErrExists.
	Begin(ctx context.Context, name boxregistry.Name, v boxregistry.Version, p boxregistry.Provider, a boxregistry.Architecture) (secret string, err error)
	// Put takes the whole file. size is the Content-Length, -1 when not known. The bytes are hashed, inspected and published; the
	// same bytes again, also after the version was released with them, are no error. A file declared for an unknown
	// architecture goes to the one that the box names. Errors: boxregistry.ErrNotFound for a secret that is unknown or
	// expired, boxfile.ErrInvalid, boxregistry.ErrChecksum, ErrImmutable, ErrBusy, ErrTooLarge, blob.ErrNoSpace.
	Put(ctx context.Context, secret string, size int64, body io.Reader) (boxregistry.File, error)
	// Done says whether the bytes of a secret have come, or boxregistry.ErrNotFound.
	Done(ctx context.Context, secret string) (bool, error)
}

// Accounts gives out tokens for passwords.
type Accounts interface {
	// Login makes a token for a user that lasts for life, or returns auth.ErrRefused when there is no such user with that password.
	Login(ctx context.Context, login, password, description string, life time.Duration) (token string, err error)
	// Logout revokes the token of a number.
	Logout(ctx context.Context, token int64) error
}

// Principals knows tokens by their numbers.
type Principals interface {
	// Principal is who the token of a number stands for, or auth.ErrRefused when it was revoked, has expired or never was.
	Principal(ctx context.Context, token int64) (auth.Principal, error)
}

// Counter keeps count of whole files that clients fetched.
type Counter interface {
	Downloaded(ctx context.Context, list []boxregistry.Download) error
}

// Options are the things that depend on where the registry runs. What is left out is not served: its routes answer 503
// and say so.
type Options struct {
	// BaseURL begins every download URL; the zero value takes the host that the client asked.
	BaseURL boxregistry.BaseURL
	// Page answers browsers at /org/box; with nil they get the catalog too.
	Page gin.HandlerFunc
	// Revision changes whenever what Boxes says of a box changes; rendered catalogs are kept until then. It reports false for a
	// box that may change without that. With nil every catalog is rendered anew.
	Revision func(boxregistry.Name) (revision uint64, keep bool)
	// Editor is behind /api/v1 and /api/v2.
	Editor Editor
	// Uploads takes the files.
	Uploads Uploads
	// Accounts is behind "vagrant cloud auth login".
	Accounts Accounts
	// SignKey and Principals make and check the signed URLs of private boxes; without both, catalogs give plain URLs, which
	// work for clients that send their token with every request.
	SignKey    []byte
	Principals Principals
	// Downloads counts; nil counts nothing.
	Downloads Counter
	// Closed lets nobody read who did not prove who he is: every box is private.
	Closed bool
	// NoAutoCreate leaves it to people to create boxes. Otherwise Packer's question for a box that is missing makes it,
	// empty and private, where its token may write: Packer itself never creates one (hashicorp/packer#9169).
	NoAutoCreate bool
	// Links sends downloads to where the files are; with nil all bytes go through here.
	Links Linker
	// Logger gets the causes of answers with status 500; slog.Default() when it is nil.
	Logger *slog.Logger
	// Now is the clock; time.Now when it is nil.
	Now func() time.Time
}

// API answers Vagrant's clients. Make it with New, and call Run or Flush so that downloads are counted.
type API struct {
	boxes       Boxes
	o           Options
	catalogs    *cache[catalogKey, page]
	objectsKept *cache[objectKey, boxObject]
	signs       signer
	tally       *tally
}

// New makes the API; Register mounts it.
func New(boxes Boxes, o Options) *API {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &API{
		boxes: boxes, o: o, catalogs: newCache[catalogKey, page](catalogBudget), objectsKept: newCache[objectKey, boxObject](objectBudget),
		signs: signer{key: o.SignKey, who: o.Principals, now: o.Now}, tally: newTally(o.Downloads, o.Now),
	}
}

var reading = []string{http.MethodGet, http.MethodHead} // since Vagrant 2.2.15 a HEAD that fails is fatal

// Register mounts everything at the root of r; a registry cannot live under a path. Wrap the whole server in
// CollapseSlashes, and within that in Signed.
func (a *API) Register(r gin.IRoutes) {
	r.Match(reading, "/:org/:box", a.boxOrPage)
	r.Match(reading, "/api/v2/vagrant/:org/:box", a.catalog)
	const providers = "/:org/boxes/:box/versions/:version/providers/:provider"
	r.Match(reading, providers+"/:arch/:digest/vagrant.box", a.download)
	r.Match(reading, providers+"/:arch/vagrant.box", a.download)
	r.Match(reading, providers, a.downloadDefault)
	r.PUT("/up/:secret", a.receive)
	r.POST("/up/:secret", a.receive)
	for _, v := range []string{"v1", "v2"} {
		a.registerCloud(r, v)
	}
}

// registerCloud mounts one version of Vagrant Cloud's API. They differ in that the paths of v2 name an architecture; either
// takes those of the other.
func (a *API) registerCloud(r gin.IRoutes, v string) {
	get := func(path string, h handler) { r.Match(reading, "/api/"+v+path, a.answer(v, h)) }
	do := func(method, path string, h handler) { r.Handle(method, "/api/"+v+path, a.answer(v, h)) }

	get("/authenticate", a.whoami)
	do(http.MethodPost, "/authenticate", a.login)
	do(http.MethodDelete, "/authenticate", a.logout)
	do(http.MethodPost, "/two-factor/request-code", a.twoFactor)
	get("/user/:org", a.organisation)
	get("/search", a.search)

	do(http.MethodPost, "/boxes", a.createBox)
	const box = "/box/:org/:box"
	get(box, a.getBox)
	do(http.MethodPut, box, a.updateBox)
	do(http.MethodDelete, box, a.deleteBox)
	do(http.MethodPost, box+"/versions", a.createVersion)

	const version = box + "/version/:version"
	get(version, a.getVersion)
	do(http.MethodPut, version, a.updateVersion)
	do(http.MethodDelete, version, a.deleteVersion)
	do(http.MethodPut, version+"/release", a.releaseVersion)
	do(http.MethodPut, version+"/revoke", a.revokeVersion)
	do(http.MethodPost, version+"/providers", a.createProvider)

	for _, provider := range []string{version + "/provider/:provider", version + "/provider/:provider/:arch"} {
		get(provider, a.getProvider)
		do(http.MethodPut, provider, a.updateProvider)
		do(http.MethodDelete, provider, a.deleteProvider)
		do(http.MethodGet, provider+"/upload", a.beginUpload)
		do(http.MethodGet, provider+"/upload/direct", a.beginDirectUpload)
		do(http.MethodPut, provider+"/upload/direct/:secret", a.finishUpload)
	}
}
