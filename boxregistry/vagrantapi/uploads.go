package vagrantapi

import (
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/netx"
)

const noUploads = "the part that takes uploads"

type uploadAnswer struct {
	UploadPath string `json:"upload_path"`
	// Callback must begin with /api/v1 or /api/v2 and name everything in its path: the gem takes the path alone. Packer calls
	// all of it.
	Callback string `json:"callback,omitempty"`
}

// beginUpload says where the bytes of a declared file go. The client PUTs them there without its token and follows no
// redirect (vagrant lib/vagrant/util/uploader.rb), so the secret is in the path.
func (a *API) beginUpload(r request) (any, error) {
	secret, err := a.openDoor(r)
	return uploadAnswer{UploadPath: r.base + "/up/" + secret}, err
}

// beginDirectUpload is the same for clients that tell when they are done: on Vagrant Cloud the bytes went past it, into S3.
func (a *API) beginDirectUpload(r request) (any, error) {
	secret, err := a.openDoor(r)
	return uploadAnswer{UploadPath: r.base + "/up/" + secret, Callback: r.base + r.Request.URL.Path + "/" + secret}, err
}

func (a *API) openDoor(r request) (secret string, err error) {
	if err := needs(a.o.Uploads != nil, noUploads); err != nil {
		return "", err
	}
	t, rel, err := a.writableRelease(r)
	if err != nil {
		return "", err
	}
	f, err := r.file(rel)
	if err != nil {
		return "", err
	}
	if err := mutable(t.Name, rel); err != nil { // here the client prints why; of a refused PUT it prints the number
		return "", err
	}
	return a.o.Uploads.Begin(r.ctx(), t.Name, rel.Version, f.Provider, f.Architecture)
}

// finishUpload ends a direct upload.
func (a *API) finishUpload(r request) (any, error) {
	if err := needs(a.o.Uploads != nil, noUploads); err != nil {
		return nil, err
	}
	if _, _, err := a.writableRelease(r); err != nil {
		return nil, err
	}
	done, err := a.o.Uploads.Done(r.ctx(), r.Param("secret"))
	if errors.Is(err, boxregistry.ErrNotFound) {
		return nil, refuse(http.StatusNotFound, "Resource not found! That upload has expired or never was; ask for a new one.")
	}
	if err == nil && !done {
		err = refuse(http.StatusUnprocessableEntity, "The bytes of this upload have not come; PUT them to its upload_path first.")
	}
	return struct{}{}, err
}

// receive takes the bytes of a file. A PUT is the file whatever its headers say: Packer sends its token along and calls the
// box JSON. A POST may be a form with the file in the field "file", as the readme of the gem shows it.
func (a *API) receive(c *gin.Context) {
	if err := needs(a.o.Uploads != nil, noUploads); err != nil {
		a.fail(c, err)
		return
	}
	c.Request.Body = netx.Impatient(c.Writer, c.Request.Body)
	body, size, err := fileIn(c.Request)
	if err != nil {
		a.fail(c, err)
		return
	}
	f, err := a.o.Uploads.Put(c.Request.Context(), c.Param("secret"), size, body)
	if errors.Is(err, boxregistry.ErrNotFound) {
		err = refuse(http.StatusNotFound, "Resource not found! That upload has expired or never was; ask for a new one.")
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, receipt{string(f.Provider), string(f.Architecture), f.Size, "sha256", string(f.Digest)})
}

// receipt tells whoever uploads by hand what was understood.
type receipt struct {
	Name         string `json:"name"`
	Architecture string `json:"architecture"`
	Size         int64  `json:"size"`
	ChecksumType string `json:"checksum_type"`
	Checksum     string `json:"checksum"`
}

// fileIn finds the file in a request, and its size if that is known.
func fileIn(r *http.Request) (io.Reader, int64, error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || kind != "multipart/form-data" {
		return r.Body, r.ContentLength, nil
	}
	const remedy = "; send the box in the field \"file\" of a multipart form, or PUT it as it is"
	form, err := r.MultipartReader()
	if err != nil {
		return nil, 0, refuse(http.StatusBadRequest, "The form cannot be read: %v%s", err, remedy)
	}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return nil, 0, refuse(http.StatusUnprocessableEntity, "The form has no file%s", remedy)
		}
		if err != nil {
			return nil, 0, refuse(http.StatusBadRequest, "The form cannot be read: %v%s", err, remedy)
		}
		if part.FormName() == "file" {
			return part, -1, nil
		}
	}
}
