package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/upload"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// Uploads receives box files that can be resumed; *upload.Receiver does.
type Uploads interface {
	Open(ctx context.Context, p boxregistry.Publication) (upload.Session, error)
	Session(ctx context.Context, id string) (upload.Session, error)
	Append(ctx context.Context, id string, offset, size int64, body io.Reader) (upload.Session, error)
	Finish(ctx context.Context, id string) (boxregistry.File, error)
	Abandon(ctx context.Context, id string) error
}

func (s *Server) mountUploads(v1 gin.IRouter) {
	write := needSomewhere(auth.Write)
	v1.POST("/uploads", write, s.openUpload)
	v1.GET("/uploads/:id", write, s.getUpload)
	v1.PATCH("/uploads/:id", write, s.appendUpload)
	v1.PUT("/uploads/:id", write, s.appendUpload) // for proxies and clients that know no PATCH
	v1.POST("/uploads/:id/finish", write, s.finishUpload)
	v1.DELETE("/uploads/:id", write, s.abandonUpload)
}

func (s *Server) openUpload(c *gin.Context) {
	var req wire.UploadRequest
	if !s.body(c, &req) {
		return
	}
	p, err := publication(req)
	if err == nil && !principal(c).PermitsIn(p.Box.Org(), auth.Write) {
		err = wire.Errorf(wire.CodeForbidden, "the token %q may not write in the organisation %q", principal(c).Name, p.Box.Org())
	}
	var session upload.Session
	if err == nil {
		session, err = s.Uploads.Open(c.Request.Context(), p)
	}
	if err != nil {
		s.failBox(c, err)
		return
	}
	status := http.StatusCreated
	if session.Done || session.Offset > 0 {
		status = http.StatusOK
	}
	s.tellUpload(c, status, session)
}

// publication reads what a client announces.
func publication(req wire.UploadRequest) (boxregistry.Publication, error) {
	name, nameErr := boxregistry.ParseName(req.Box)
	v, versionErr := boxregistry.ParseVersion(req.Version)
	provider, providerErr := boxregistry.ParseProvider(req.Provider)
	arch, archErr := boxregistry.ParseArchitecture(req.Architecture)
	d, sumErr := blob.ParseDigest(req.SHA256)
	if sumErr != nil {
		sumErr = wire.Errorf(wire.CodeBadRequest, "%w", sumErr)
	}
	if req.Size <= 0 {
		sumErr = errors.Join(sumErr, wire.Errorf(wire.CodeBadRequest, "size %d: want the number of bytes of the box", req.Size))
	}
	return boxregistry.Publication{
		Box: name, BoxDescription: req.Description, Version: v, VersionDescription: req.VersionDescription,
		File:    boxregistry.File{Provider: provider, Architecture: arch, Default: req.Default, Digest: d, Size: req.Size},
		Replace: req.Replace, Private: req.Private,
	}, errors.Join(nameErr, versionErr, providerErr, archErr, sumErr)
}

func (s *Server) tellUpload(c *gin.Context, status int, session upload.Session) {
	c.Header(wire.OffsetHeader, strconv.FormatInt(session.Offset, 10))
	c.JSON(status, wire.Upload{ID: session.ID, Offset: session.Offset, Size: session.Size, Done: session.Done, Expires: session.Expires})
}

// upload finds the upload of the path, and answers and returns false if there is none that the caller may write to.
func (s *Server) upload(c *gin.Context) (upload.Session, bool) {
	session, err := s.Uploads.Session(c.Request.Context(), c.Param("id"))
	if err == nil && !principal(c).PermitsIn(session.Into.Box.Org(), auth.Write) {
		err = upload.ErrUnknown
	}
	if err != nil {
		s.failBox(c, err)
	}
	return session, err == nil
}

func (s *Server) getUpload(c *gin.Context) {
	if session, ok := s.upload(c); ok {
		s.tellUpload(c, http.StatusOK, session)
	}
}

func (s *Server) appendUpload(c *gin.Context) {
	session, ok := s.upload(c)
	if !ok {
		return
	}
	offset, err := strconv.ParseInt(strings.TrimSpace(c.GetHeader(wire.OffsetHeader)), 10, 64)
	if err != nil || offset < 0 {
		s.fail(c, wire.Errorf(wire.CodeBadRequest, "%s %q: say where the chunk begins", wire.OffsetHeader, c.GetHeader(wire.OffsetHeader)))
		return
	}
	body := netx.Impatient(c.Writer, c.Request.Body)
	session, err = s.Uploads.Append(c.Request.Context(), session.ID, offset, c.Request.ContentLength, body)
	if err != nil {
		s.failBox(c, err)
		return
	}
	s.tellUpload(c, http.StatusOK, session)
}

func (s *Server) finishUpload(c *gin.Context) {
	session, ok := s.upload(c)
	if !ok {
		return
	}
	f, err := s.Uploads.Finish(c.Request.Context(), session.ID)
	if err != nil {
		s.failBox(c, err)
		return
	}
	c.JSON(http.StatusOK, fileOf(f))
}

func (s *Server) abandonUpload(c *gin.Context) {
	if session, ok := s.upload(c); ok {
		s.done(c, s.Uploads.Abandon(c.Request.Context(), session.ID))
	}
}
