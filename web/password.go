package web

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/internal/auth"
)

// passwordPath is where a user changes his own password; "settings" is no organisation.
const passwordPath = "/settings/password"

// passwordView is the form for another password.
type passwordView struct {
	User    string
	Problem string // why this form is shown again
	Done    bool
}

func (passwordView) isView() {}

// passwordForm is for those who have logged in as a user; a token of nobody in particular has no password.
func (s *Site) passwordForm(c *gin.Context) {
	if who := s.who(c); who.User != "" {
		s.showPassword(c, http.StatusOK, passwordView{User: who.User, Done: c.Query("done") != ""})
		return
	}
	s.askToken(c, http.StatusUnauthorized, passwordPath, "Log in as the user whose password you want to change.")
}

func (s *Site) showPassword(c *gin.Context, status int, v passwordView) {
	s.render(c, status, "password.html", page{Title: "Password of " + v.User, Body: v})
}

// changePassword takes the form. The present password is asked for, so that a browser that was left open is not enough. The
// user's other sessions that a password opened end: one of them may be why it is changed.
func (s *Site) changePassword(c *gin.Context) {
	if !s.readForm(c) {
		return
	}
	who, form := s.who(c), c.Request.PostForm
	if who.User == "" {
		s.passwordForm(c)
		return
	}
	if form.Get("password") != form.Get("again") {
		s.showPassword(c, http.StatusBadRequest, passwordView{User: who.User, Problem: "The two new passwords differ. Nothing was changed."})
		return
	}
	err := s.Tokens.ChangePassword(s.asking(c), who.User, form.Get("present"), form.Get("password"))
	var wrong *auth.InvalidError
	switch {
	case errors.Is(err, auth.ErrThrottled):
		s.showPassword(c, http.StatusTooManyRequests, passwordView{User: who.User, Problem: "Too many wrong passwords came before. Try again in a minute."})
	case errors.Is(err, auth.ErrRefused):
		s.showPassword(c, http.StatusForbidden, passwordView{User: who.User, Problem: "That is not your present password. Nothing was changed."})
	case errors.As(err, &wrong):
		s.showPassword(c, http.StatusBadRequest, passwordView{User: who.User, Problem: sentence(wrong.Text)})
	case err != nil:
		s.fail(c, err)
	default:
		s.went(c, s.endOthers(c, who.User), passwordPath+"?done=1")
	}
}

// endOthers ends the sessions that a user's password opened, but for the one that asks.
func (s *Site) endOthers(c *gin.Context, user string) error {
	var own string
	if cookie, err := c.Request.Cookie(cookieName); err == nil {
		own = cookie.Value
	}
	var errs []error
	for _, ended := range s.sessions.endOthers(user, own) {
		errs = append(errs, s.Tokens.Logout(c.Request.Context(), ended.login))
	}
	return errors.Join(errs...)
}
