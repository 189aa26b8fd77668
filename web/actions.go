package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"
)

// maxKeys bounds what one request types, in bytes: a machine takes a few dozen keys in a second.
const maxKeys = 4 << 10

// typed tells a module what was typed.
type typed struct {
	Events int `json:"events"` // keys that went down or up
}

// keys types into the machine: text with the tokens of boot commands.
func (s *Site) keys(c *gin.Context) {
	text := c.Request.PostForm.Get("text")
	if c.Request.PostForm.Get("enter") != "" {
		text += "<enter>"
	}
	if text == "" || len(text) > maxKeys {
		s.fail(c, &Refusal{http.StatusBadRequest, "There is nothing to type, or more than 4 kB."})
		return
	}
	n, err := s.Window.Type(c.Request.Context(), c.Param("id"), text)
	if errors.Is(err, ErrNothing) {
		err = &Refusal{http.StatusConflict, "The build has no machine with a keyboard just now."}
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	if wantsJSON(c) {
		secure(c)
		c.JSON(http.StatusOK, typed{Events: n})
		return
	}
	c.Redirect(http.StatusSeeOther, buildPath(c.Param("id"))+"#machine")
}

func (s *Site) cancel(c *gin.Context) {
	s.done(c, s.Control.Cancel(c.Request.Context(), s.who(c), c.Param("id")))
}

func (s *Site) resume(c *gin.Context) {
	s.done(c, s.Control.Resume(c.Request.Context(), s.who(c), c.Param("id")))
}

func (s *Site) answer(c *gin.Context) {
	s.done(c, s.Control.Answer(c.Request.Context(), s.who(c), c.Param("id"), c.Request.PostForm.Get("answer")))
}

// retry leads to the new build.
func (s *Site) retry(c *gin.Context) {
	id, err := s.Control.Retry(c.Request.Context(), s.who(c), c.Param("id"))
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, buildPath(id))
}

// done leads back to the page that asked.
func (s *Site) done(c *gin.Context, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, s.back(c))
}

// back is the page that a form was on: the one that it names, or that of its build.
func (s *Site) back(c *gin.Context) string {
	if next := c.Request.PostForm.Get("next"); strings.HasPrefix(next, "/") {
		return localPath(next)
	}
	return buildPath(c.Param("id"))
}

func buildPath(id string) string { return "/builds/" + url.PathEscape(id) }
