package web

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// uploadView is the form that takes a box file.
type uploadView struct {
	Box           shownBox
	Path          string // of the form
	Version       string
	Provider      string
	Architecture  string
	Notes         string
	SHA256        string
	Release       string // channel to release into once the file is there; empty for none
	Replace       bool
	Drafts        []boxregistry.Release
	Providers     []boxregistry.Provider
	Architectures []boxregistry.Architecture
	Problem       string

	size int64 // of the file in bytes, as a module tells; -1 when it is not known
}

func (uploadView) isView() {}

// Names that are offered; any other one of Vagrant's grammar can be typed.
var (
	usualProviders     = []boxregistry.Provider{"libvirt", "virtualbox", "vmware_desktop", "hyperv", "parallels", "utm"}
	usualArchitectures = []boxregistry.Architecture{"amd64", "arm64", "i386", boxregistry.UnknownArchitecture}
)

func (s *Site) uploadForm(c *gin.Context) {
	s.showUpload(c, http.StatusOK, uploadView{Version: searchText(c.Query("version")), Provider: string(usualProviders[0]), Architecture: string(usualArchitectures[0])})
}

func (s *Site) showUpload(c *gin.Context, status int, v uploadView) {
	box, err := s.findBox(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	v.Box, v.Path, v.Providers, v.Architectures = box, boxPath(box.Name)+"/upload", usualProviders, usualArchitectures
	for _, r := range box.Releases {
		if r.State == boxregistry.Draft && r.Deleted.IsZero() {
			v.Drafts = append(v.Drafts, r)
		}
	}
	s.render(c, status, "upload.html", page{Title: "Upload to " + box.Name.String(), Section: "boxes", Script: "upload.js", Body: v})
}

// uploaded tells a module where the version is that has the file now.
type uploaded struct {
	Location string `json:"location"`
}

// upload takes a box file. The bytes go to the Uploader as they come; nothing here holds more than a form.
func (s *Site) upload(c *gin.Context) {
	if s.sameOrigin(c); c.IsAborted() {
		return
	}
	if s.maker(c); c.IsAborted() {
		return
	}
	v, next, err := s.receive(c)
	if err == nil {
		if wantsJSON(c) {
			secure(c)
			c.JSON(http.StatusOK, uploaded{next})
			return
		}
		c.Redirect(http.StatusSeeOther, next)
		return
	}
	c.Header("Connection", "close") // what of the file was not read is not worth reading
	if wantsJSON(c) {
		s.fail(c, tellable(err))
		return
	}
	text, status, rest := problem(err)
	if rest != nil {
		s.fail(c, rest)
		return
	}
	v.Problem = text
	s.showUpload(c, status, v)
}

// receive reads the form, which is returned as far as it was understood, and publishes the file in it.
func (s *Site) receive(c *gin.Context) (v uploadView, next string, err error) {
	box, err := s.findBox(c)
	if err != nil {
		return v, "", err
	}
	name := box.Name
	c.Request.Body = netx.Impatient(c.Writer, c.Request.Body)
	v, file, err := readUpload(c.Request)
	if err != nil {
		return v, "", err
	}
	p, err := v.publication(name)
	if err == nil {
		err = s.Uploader.Check(s.asking(c), p)
	}
	if err != nil {
		return v, "", err
	}
	next = versionPath(name, p.Version)
	if file == nil { // a module asks whether it would be taken
		if wantsJSON(c) {
			return v, next, nil
		}
		return v, "", &Refusal{http.StatusBadRequest, "Choose a box file."}
	}
	_, err = s.Uploader.Upload(s.asking(c), p, v.size, file)
	if errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, boxfile.ErrInvalid) || errors.Is(err, netx.ErrSilent) {
		err = &Refusal{http.StatusBadRequest, "The file was cut off on its way."}
	}
	if err != nil || v.Release == "" {
		return v, next, err
	}
	return v, next, s.Versions.Release(s.asking(c), name, p.Version, boxregistry.Channel(v.Release))
}

// publication is what the form says of the file.
func (v uploadView) publication(name boxregistry.Name) (boxregistry.Publication, error) {
	version, versionErr := boxregistry.ParseVersion(v.Version)
	provider, providerErr := boxregistry.ParseProvider(v.Provider)
	arch, archErr := boxregistry.ParseArchitecture(v.Architecture)
	var channelErr, sumErr error
	if v.Release != "" {
		_, channelErr = boxregistry.ParseChannel(v.Release)
	}
	f := boxregistry.File{Provider: provider, Architecture: arch}
	if v.SHA256 != "" {
		digest, err := blob.ParseDigest(v.SHA256)
		if sumErr = err; err != nil {
			sumErr = &Refusal{http.StatusBadRequest, sentence(err.Error())}
		}
		f.Declared = boxregistry.Checksum{Type: "sha256", Hex: string(digest)}
	}
	p := boxregistry.Publication{Box: name, Version: version, VersionDescription: v.Notes, File: f, Replace: v.Replace}
	return p, errors.Join(versionErr, providerErr, archErr, channelErr, sumErr)
}

// readUpload reads the fields of a multipart form up to its file, which comes last and is not read.
func readUpload(r *http.Request) (v uploadView, file io.Reader, err error) {
	v.size = -1
	parts, err := r.MultipartReader()
	if err != nil {
		return v, nil, &Refusal{http.StatusBadRequest, "What was sent is no form with a file."}
	}
	room := int64(maxForm)
	for {
		part, err := parts.NextRawPart()
		switch {
		case errors.Is(err, io.EOF):
			return v, nil, nil
		case err != nil:
			return v, nil, &Refusal{http.StatusBadRequest, "The form was cut off."}
		case part.FormName() == "file":
			return v, theFile(part), nil
		}
		value, err := io.ReadAll(io.LimitReader(part, room+1))
		if room -= int64(len(value)) + 256; err != nil || room < 0 { // so that empty fields cost something too
			return v, nil, &Refusal{http.StatusBadRequest, "The form is too large, or was cut off."}
		}
		v.set(part.FormName(), string(value))
	}
}

// theFile is nil for the file of a form in which none was chosen: it has no name and no bytes.
func theFile(part *multipart.Part) io.Reader {
	first := make([]byte, 1)
	n, err := io.ReadFull(part, first)
	if err != nil && part.FileName() == "" {
		return nil
	}
	return io.MultiReader(bytes.NewReader(first[:n]), part)
}

func (v *uploadView) set(name, value string) {
	text := strings.TrimSpace(value)
	switch name {
	case "version":
		v.Version = text
	case "provider":
		v.Provider = text
	case "architecture":
		v.Architecture = text
	case "notes":
		v.Notes = plainLines(value)
	case "sha256":
		v.SHA256 = text
	case "release":
		v.Release = text
	case "replace":
		v.Replace = text != ""
	case "size":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
			v.size = n
		}
	}
}
