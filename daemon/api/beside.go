package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/provenance"
	"github.com/boxkiln/boxkiln/boxregistry/sbom"
	"github.com/boxkiln/boxkiln/boxregistry/signing"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Known is what Beside needs of the registry; *store.Registry is one.
type Known interface {
	Installed
	// Signatures returns the texts of the signature files about a box, one behind the other, or boxregistry.ErrNotFound.
	Signatures(ctx context.Context, d blob.Digest) (string, error)
}

// boxFileName is the last element of the path of every download.
const boxFileName = "vagrant.box"

// PublicKeyPath is where the public key is that checks all signatures of the registry.
const PublicKeyPath = "/minisign.pub"

// Beside serves the files that lie beside the boxes of our own builds, in the folder of the download: the signature, the
// provenance with its signature, and the list of packages. Whoever may fetch the box may fetch them. It also gives out the
// public key, to everybody.
type Beside struct {
	Known Known
	Key   signing.PublicKey
	// Closed lets nobody read who did not prove who he is.
	Closed bool
	Log    *slog.Logger
}

// Register mounts the files at the root, under the path of the download with and without a digest.
func (b Beside) Register(r gin.IRoutes) {
	read := []string{http.MethodGet, http.MethodHead}
	r.Match(read, PublicKeyPath, func(c *gin.Context) {
		c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte(b.Key.File()))
	})
	const provider = "/:org/boxes/:box/versions/:version/providers/:provider/:arch/"
	for _, dir := range []string{provider, provider + ":digest/"} {
		for _, file := range b.files() {
			r.Match(read, dir+file.name, b.serve(file.mediaType, file.read))
		}
	}
}

// besideFile is one of the files.
type besideFile struct {
	name, mediaType string
	read            content
}

// content reads one of the files, or returns boxregistry.ErrNotFound.
type content func(ctx context.Context, id provenance.Identity, f boxregistry.File) ([]byte, error)

func (b Beside) files() []besideFile {
	const signature = "text/plain; charset=utf-8"
	return []besideFile{
		{boxFileName + signing.Extension, signature, b.boxSignature},
		{provenance.FileName, "application/json", b.statement},
		{provenance.FileName + signing.Extension, signature, b.statementSignature},
		{sbom.FileName, sbom.MediaType, b.sbom},
	}
}

// Files are those that lie beside a box, by their names, for a tree of files that another server serves.
func (b Beside) Files(ctx context.Context, name boxregistry.Name, v boxregistry.Version, f boxregistry.File) (map[string][]byte, error) {
	id := provenance.Identity{Box: name, Version: v, Provider: f.Provider, Architecture: f.Architecture, Digest: f.Digest}
	found := map[string][]byte{}
	for _, file := range b.files() {
		data, err := file.read(ctx, id, f)
		switch {
		case err == nil:
			found[file.name] = data
		case !errors.Is(err, boxregistry.ErrNotFound):
			return nil, fmt.Errorf("%s of %s %s: %w", file.name, name, v, err)
		}
	}
	return found, nil
}

func (b Beside) serve(mediaType string, read content) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Cache-Control", "no-cache") // a version may be revoked
		c.Header("X-Content-Type-Options", "nosniff")
		id, f, err := b.file(c)
		var data []byte
		if err == nil {
			data, err = read(c.Request.Context(), id, f)
		}
		var invalid *boxregistry.InvalidNameError
		switch {
		case err == nil:
			c.Data(http.StatusOK, mediaType, data)
		case errors.Is(err, boxregistry.ErrNotFound), errors.As(err, &invalid):
			c.String(http.StatusNotFound, "not found\n")
		default:
			b.Log.ErrorContext(c.Request.Context(), "a file beside a box", "path", c.Request.URL.Path, "err", err)
			c.String(http.StatusInternalServerError, "the registry has a problem; its log says which\n")
		}
	}
}

// file finds the box that the path names, for those who may fetch it.
func (b Beside) file(c *gin.Context) (provenance.Identity, boxregistry.File, error) {
	name, nameErr := boxregistry.ParseName(c.Param("org") + "/" + c.Param("box"))
	v, versionErr := boxregistry.ParseVersion(c.Param("version"))
	if err := errors.Join(nameErr, versionErr); err != nil {
		return provenance.Identity{}, boxregistry.File{}, err
	}
	box, err := b.Known.Box(c.Request.Context(), name)
	if err != nil {
		return provenance.Identity{}, boxregistry.File{}, err
	}
	who := principal(c)
	rel, ok := box.Release(v)
	f, hasFile := exactFile(rel, boxregistry.Provider(c.Param("provider")), boxregistry.Architecture(c.Param("arch")))
	digest := c.Param("digest")
	seen := (!box.Private || who.PermitsIn(name.Org(), auth.Read)) && (!b.Closed || who.Known())
	if !ok || !hasFile || !rel.Open() || !seen || f.Digest == "" || digest != "" && digest != f.Digest.Short() {
		return provenance.Identity{}, f, boxregistry.ErrNotFound
	}
	return provenance.Identity{Box: box.Name, Version: rel.Version, Provider: f.Provider, Architecture: f.Architecture, Digest: f.Digest}, f, nil
}

func (b Beside) boxSignature(ctx context.Context, id provenance.Identity, _ boxregistry.File) ([]byte, error) {
	return b.signature(ctx, id.Digest, id.BoxComment(), nil)
}

// statementSignature looks at the statement too: a draft that was built twice with the same outcome has two signed statements,
// and kept the first.
func (b Beside) statementSignature(ctx context.Context, id provenance.Identity, f boxregistry.File) ([]byte, error) {
	return b.signature(ctx, id.Digest, id.StatementComment(), f.Provenance)
}

// signature finds the newest one that says what was asked for; of several, one that holds over the content, if that is given.
// Nothing is signed here: a row of the database alone makes no box genuine.
func (b Beside) signature(ctx context.Context, d blob.Digest, comment string, content []byte) ([]byte, error) {
	files, err := b.Known.Signatures(ctx, d)
	if err != nil {
		return nil, err
	}
	found := signing.Find(files, comment)
	if len(found) == 0 {
		return nil, boxregistry.ErrNotFound
	}
	i := slices.IndexFunc(found, func(file string) bool {
		_, err := b.Key.Check(bytes.NewReader(content), []byte(file))
		return err == nil || content == nil
	})
	return []byte(found[max(i, 0)]), nil // where none holds, it may be of an earlier key
}

// statement is there for boxes that were built here since there are statements.
func (b Beside) statement(_ context.Context, _ provenance.Identity, f boxregistry.File) ([]byte, error) {
	if _, err := provenance.Parse(f.Provenance); err != nil {
		return nil, boxregistry.ErrNotFound
	}
	return f.Provenance, nil
}

func (b Beside) sbom(ctx context.Context, _ provenance.Identity, f boxregistry.File) ([]byte, error) {
	return b.Known.Packages(ctx, f.Digest)
}
