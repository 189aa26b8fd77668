package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/boxregistry/upload"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// boxCodes are the codes of the registry's errors.
var boxCodes = []struct {
	err  error
	code wire.Code
}{
	{boxregistry.ErrNotFound, wire.CodeNotFound}, {upload.ErrUnknown, wire.CodeNotFound},
	{boxregistry.ErrExists, wire.CodeConflict}, {boxregistry.ErrImmutable, wire.CodeConflict}, {boxregistry.ErrIncomplete, wire.CodeConflict},
	{boxregistry.ErrNotReleased, wire.CodeConflict}, {boxregistry.ErrArchitectureMix, wire.CodeConflict}, {boxregistry.ErrDeleted, wire.CodeConflict},
	{boxregistry.ErrLastChannel, wire.CodeConflict}, {boxregistry.ErrBusy, wire.CodeBusy},
	{boxregistry.ErrChecksum, wire.CodeBadBox}, {boxfile.ErrInvalid, wire.CodeBadBox},
	{boxregistry.ErrTooLarge, wire.CodeTooLarge}, {blob.ErrNoSpace, wire.CodeDiskFull},
}

// failBox answers with an error of the registry.
func (s *Server) failBox(c *gin.Context, err error) {
	var invalid *boxregistry.InvalidNameError
	var offset *upload.OffsetError
	switch {
	case errors.As(err, &offset):
		c.Header(wire.OffsetHeader, strconv.FormatInt(offset.Have, 10))
		err = wire.Errorf(wire.CodeConflict, "%w", err)
	case errors.As(err, &invalid):
		err = wire.Errorf(wire.CodeBadRequest, "%w", err)
	case c.Request.Context().Err() != nil: // the client has gone
		c.AbortWithStatus(http.StatusRequestTimeout)
		return
	}
	for _, known := range boxCodes {
		if errors.Is(err, known.err) {
			err = wire.Errorf(known.code, "%w", err)
			break
		}
	}
	s.fail(c, err)
}

func summaryOf(b boxregistry.Summary) wire.BoxSummary {
	return wire.BoxSummary{
		Name: b.Name.String(), ShortDescription: b.ShortDescription, Private: b.Private, Newest: b.Newest.String(),
		Providers: texts(b.Providers), Architectures: texts(b.Architectures), Size: b.Size, Stored: b.Stored, Downloads: b.Downloads,
		Created: b.Created, Updated: b.Updated,
	}
}

// texts is a list of names as texts, never null.
func texts[T ~string](list []T) []string {
	out := make([]string, 0, len(list))
	for _, t := range list {
		out = append(out, string(t))
	}
	return out
}

func boxOf(b boxregistry.Box) wire.Box {
	out := wire.Box{
		Name: b.Name.String(), ShortDescription: b.ShortDescription, Description: b.Description, Private: b.Private,
		Created: b.Created, Updated: b.Updated, Downloads: b.Downloads, Retention: retentionOf(b.Retention), Deleted: b.Deleted,
		Versions: []wire.BoxVersion{},
	}
	for _, r := range b.Releases {
		out.Versions = append(out.Versions, versionOf(r))
	}
	return out
}

func retentionOf(r boxregistry.Retention) wire.Retention {
	return wire.Retention{KeepLast: r.KeepLast, KeepNewer: int64(r.KeepNewer / time.Second)}
}

func versionOf(r boxregistry.Release) wire.BoxVersion {
	out := wire.BoxVersion{
		Version: r.Version.String(), State: string(r.State), Description: r.Description, Created: r.Created, Updated: r.Updated,
		Released: r.Released, Revoked: r.Revoked, RevokedWhy: r.RevokedWhy, Channels: texts(r.Channels), Pinned: r.Pinned,
		Deleted: r.Deleted, Downloads: r.Downloads, LastUsed: r.LastUsed, Files: []wire.BoxFile{},
	}
	for _, f := range r.Files {
		out.Files = append(out.Files, fileOf(f))
	}
	return out
}

func fileOf(f boxregistry.File) wire.BoxFile {
	return wire.BoxFile{
		Provider: string(f.Provider), Architecture: string(f.Architecture), Default: f.Default, SHA256: string(f.Digest), URL: f.URL,
		Size: f.Size, UnpackedSize: f.UnpackedSize, VirtualSize: f.VirtualSize, Created: f.Created, Published: f.Published,
	}
}
