package web

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// editView is the form that makes or changes a box.
type editView struct {
	New     bool
	Name    string // of the box, as it is or as it was typed
	Short   string
	Text    string
	Private bool
	Problem string
}

func (editView) isView() {}

// readBox takes the descriptions from a form.
func readBox(c *gin.Context) editView {
	form := c.Request.PostForm
	return editView{Name: strings.TrimSpace(form.Get("name")), Short: strings.TrimSpace(form.Get("short")),
		Text: plainLines(form.Get("text")), Private: form.Get("private") != ""}
}

// plainLines ends lines as everybody but browsers does.
func plainLines(text string) string {
	return strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n \t")
}

// into puts what the form says into a box.
func (v editView) into(b *boxregistry.Box) {
	b.ShortDescription, b.Description, b.Private = strings.Join(strings.Fields(v.Short), " "), v.Text, v.Private
}

func (s *Site) createForm(c *gin.Context) {
	v := editView{New: true}
	if org := searchText(c.Query("org")); org != "" {
		v.Name = org + "/"
	}
	s.showEdit(c, http.StatusOK, v)
}

func (s *Site) showEdit(c *gin.Context, status int, v editView) {
	title := "New box"
	if !v.New {
		title = "Edit " + v.Name
	}
	s.render(c, status, "edit.html", page{Title: title, Section: "boxes", Body: v})
}

// create makes an empty box.
func (s *Site) create(c *gin.Context) {
	if s.sameOrigin(c); c.IsAborted() || !s.readForm(c) {
		return
	}
	if s.somewhere(c); c.IsAborted() {
		return
	}
	v := readBox(c)
	v.New = true
	name, err := boxregistry.ParseName(v.Name)
	if err == nil && !s.who(c).PermitsIn(name.Org(), auth.Write) {
		err = &Refusal{http.StatusForbidden, "You may not write in the organisation \"" + name.Org() + "\"."}
	}
	if err == nil {
		b := boxregistry.Box{Name: name}
		v.into(&b)
		err = s.Makers.CreateBox(s.asking(c), b)
	}
	s.edited(c, err, v, "/"+name.String())
}

// edited leads on after a change, or shows the form again with what was wrong.
func (s *Site) edited(c *gin.Context, err error, v editView, next string) {
	text, status, err := problem(err)
	switch {
	case err != nil:
		s.fail(c, err)
	case text != "":
		v.Problem = text
		s.showEdit(c, status, v)
	default:
		c.Redirect(http.StatusSeeOther, next)
	}
}

func (s *Site) editForm(c *gin.Context) {
	box, err := s.findBox(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.showEdit(c, http.StatusOK, editView{Name: box.Name.String(), Short: box.ShortDescription, Text: box.Description, Private: box.Private})
}

func (s *Site) edit(c *gin.Context) {
	name, err := pathName(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	v := readBox(c)
	v.Name = name.String()
	err = s.Makers.EditBox(s.asking(c), name, func(b *boxregistry.Box) error {
		v.into(b)
		return nil
	})
	s.edited(c, err, v, "/"+name.String())
}
