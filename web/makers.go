package web

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// maker lets only those pass who may write in the organisation of the path. To others a private box is not there.
func (s *Site) maker(c *gin.Context) {
	who := s.who(c)
	if who.PermitsIn(c.Param("org"), auth.Write) {
		return
	}
	if _, err := s.findBox(c); err != nil {
		s.fail(c, err)
		return
	}
	s.refuse(c, who, "the organisation "+strconv.Quote(c.Param("org")))
}

// making is maker for forms that change something.
func (s *Site) making(c *gin.Context) {
	if s.sameOrigin(c); c.IsAborted() || !s.readForm(c) {
		return
	}
	s.maker(c)
}

// somewhere lets only those pass who may write in any organisation.
func (s *Site) somewhere(c *gin.Context) {
	if who := s.who(c); !writesSomewhere(who) {
		s.refuse(c, who, "an organisation")
	}
}

// refuse sends away who may not write: to the login who has not been there.
func (s *Site) refuse(c *gin.Context, who auth.Principal, where string) {
	switch {
	case who.Known():
		s.fail(c, &Refusal{http.StatusForbidden, fmt.Sprintf("This needs a token with the scope %s in %s, and %q has none. Log out, and in again with another one.",
			auth.Write, where, who.Name)})
	case wantsJSON(c):
		s.fail(c, &Refusal{http.StatusUnauthorized, "Your session has ended. Log in again."})
	default:
		s.askToken(c, http.StatusUnauthorized, s.afterLogin(c), "Log in to do that.")
		c.Abort()
	}
}

// afterLogin is where to go on: the page that was asked for, or the one that the form was on.
func (s *Site) afterLogin(c *gin.Context) string {
	if c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead {
		return c.Request.URL.RequestURI()
	}
	if name, err := boxregistry.ParseName(c.Param("org") + "/" + c.Param("box")); err == nil {
		return "/" + name.String()
	}
	return "/"
}

// pathName is the box that the path names.
func pathName(c *gin.Context) (boxregistry.Name, error) {
	return boxregistry.ParseName(c.Param("org") + "/" + c.Param("box"))
}

// pathVersion is the version that the path names, and its box.
func pathVersion(c *gin.Context) (boxregistry.Name, boxregistry.Version, error) {
	name, nameErr := pathName(c)
	v, versionErr := boxregistry.ParseVersion(c.Param("version"))
	return name, v, errors.Join(nameErr, versionErr)
}

// told are the errors of the registry that are for the person who asked, with the status of the answer.
var told = []struct {
	err    error
	status int
}{
	{auth.ErrNoOrg, http.StatusForbidden},
	{boxregistry.ErrExists, http.StatusConflict},
	{boxregistry.ErrImmutable, http.StatusConflict},
	{boxregistry.ErrIncomplete, http.StatusConflict},
	{boxregistry.ErrNotReleased, http.StatusConflict},
	{boxregistry.ErrArchitectureMix, http.StatusConflict},
	{boxregistry.ErrDeleted, http.StatusConflict},
	{boxregistry.ErrLastChannel, http.StatusConflict},
	{boxregistry.ErrBusy, http.StatusConflict},
	{boxregistry.ErrTooLarge, http.StatusRequestEntityTooLarge},
	{boxregistry.ErrChecksum, http.StatusUnprocessableEntity},
	{boxfile.ErrInvalid, http.StatusUnprocessableEntity},
	{blob.ErrDigestMismatch, http.StatusUnprocessableEntity},
	{blob.ErrNoSpace, http.StatusInsufficientStorage},
}

// tellable makes a *Refusal of an error that the person who asked can do something about. A form may have held a bad name;
// that of the path is judged before.
func tellable(err error) error {
	var invalid *boxregistry.InvalidNameError
	var refusal *Refusal
	if err == nil || errors.As(err, &refusal) {
		return err
	}
	if errors.As(err, &invalid) {
		return &Refusal{http.StatusBadRequest, sentence(err.Error())}
	}
	for _, t := range told {
		if errors.Is(err, t.err) {
			return &Refusal{t.status, sentence(err.Error())}
		}
	}
	return err
}

// sentence begins and ends a text as sentences do.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// problem takes apart an error of a form: text to show above the form again, or an error for fail.
func problem(err error) (text string, status int, rest error) {
	var refusal *Refusal
	if errors.As(tellable(err), &refusal) {
		return refusal.Text, refusal.Status, nil
	}
	return "", http.StatusOK, err
}

// went leads to a page after a change, or tells why there was none.
func (s *Site) went(c *gin.Context, err error, next string) {
	if err != nil {
		s.fail(c, tellable(err))
		return
	}
	c.Redirect(http.StatusSeeOther, next)
}
