package vagrantapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// failure is the body of every error, in the shape that Vagrant Cloud's clients print.
type failure struct {
	Errors  []string `json:"errors"`
	Success bool     `json:"success"`
}

// refusal is an answer that is no success. Its text is printed to the user, so it says what to do.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return refusal{status, fmt.Sprintf(format, args...)}
}

// missing is what strangers hear of private boxes and of those that are not there.
const missing = "Resource not found! If it is private, ask with a token that may read it."

const broken = "The registry has a problem; its log says which."

// fail answers with what went wrong.
func (a *API) fail(c *gin.Context, err error) {
	if c.Request.Context().Err() != nil && !errors.Is(err, netx.ErrSilent) { // the client has gone
		c.Abort()
		return
	}
	status, text := verdict(c, err)
	switch status {
	case http.StatusInternalServerError:
		a.o.Logger.ErrorContext(c.Request.Context(), "registry request", "path", redacted(c), "error", err)
	case http.StatusUnauthorized:
		c.Header("WWW-Authenticate", `Bearer realm="boxkiln"`)
	}
	c.AbortWithStatusJSON(status, failure{Errors: []string{text}})
}

// redacted is the path without the secret that may be in it.
func redacted(c *gin.Context) string {
	if c.Param("secret") != "" {
		return c.FullPath()
	}
	return c.Request.URL.Path
}

// statuses of the errors of the domain, whose texts say what to do.
var statuses = []struct {
	err    error
	status int
}{
	{boxregistry.ErrExists, http.StatusUnprocessableEntity},
	{boxregistry.ErrImmutable, http.StatusUnprocessableEntity},
	{boxregistry.ErrIncomplete, http.StatusUnprocessableEntity},
	{boxregistry.ErrNotReleased, http.StatusUnprocessableEntity},
	{boxregistry.ErrArchitectureMix, http.StatusUnprocessableEntity},
	{boxregistry.ErrDeleted, http.StatusUnprocessableEntity},
	{boxregistry.ErrChecksum, http.StatusUnprocessableEntity},
	{boxfile.ErrInvalid, http.StatusUnprocessableEntity},
	{boxregistry.ErrBusy, http.StatusConflict},
	{netx.ErrSilent, http.StatusRequestTimeout},
	{boxregistry.ErrTooLarge, http.StatusRequestEntityTooLarge},
	{blob.ErrNoSpace, http.StatusInsufficientStorage},
}

// verdict is the status and the text for an error: what the domain refuses is the client's affair, the rest is ours.
func verdict(c *gin.Context, err error) (status int, text string) {
	var r refusal
	var invalid *boxregistry.InvalidNameError
	reads := c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead
	switch {
	case errors.As(err, &r):
		return r.status, r.text
	case errors.As(err, &invalid) && !reads:
		return http.StatusUnprocessableEntity, err.Error()
	case invalid != nil:
		return http.StatusNotFound, missing // there can be no such thing
	case errors.Is(err, boxregistry.ErrNotFound):
		if auth.PrincipalFrom(c.Request.Context()).PermitsIn(c.Param("org"), auth.Read) {
			return http.StatusNotFound, err.Error()
		}
		return http.StatusNotFound, missing
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.status, err.Error()
		}
	}
	return http.StatusInternalServerError, broken
}
