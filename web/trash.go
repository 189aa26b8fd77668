package web

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// deleteView asks for the name of what is to go.
type deleteView struct {
	Box      shownBox
	Release  *boxregistry.Release // nil when the whole box goes
	Back     string               // the page to return to without
	Confirm  string               // what must be typed
	Used     []boxregistry.Download
	Released int   // versions that users lose
	Stored   int64 // bytes
	Problem  string
}

func (deleteView) isView() {}

// usedVersions bounds of how many versions the users are looked up.
const usedVersions = 10

func (s *Site) deleteBoxForm(c *gin.Context) { s.showDeleteBox(c, "") }

func (s *Site) showDeleteBox(c *gin.Context, problem string) {
	box, err := s.findBox(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	v := deleteView{Box: box, Back: "/" + box.Name.String(), Confirm: box.Name.String(), Problem: problem}
	v.Used, err = s.usersOf(s.asking(c), box)
	if err != nil {
		s.fail(c, err)
		return
	}
	for _, r := range box.Releases {
		if r.Open() {
			v.Released++
		}
		for _, f := range r.Files {
			v.Stored += f.Size
		}
	}
	s.showDelete(c, v)
}

func (s *Site) showDelete(c *gin.Context, v deleteView) {
	status := http.StatusOK
	if v.Problem != "" {
		status = http.StatusBadRequest
	}
	s.render(c, status, "delete.html", page{Title: "Delete " + v.Confirm, Section: "boxes", Body: v})
}

// usersOf is who downloaded versions of a box of late, last one first.
func (s *Site) usersOf(ctx context.Context, box shownBox) ([]boxregistry.Download, error) {
	var all []boxregistry.Download
	looked := 0
	for _, r := range box.Releases {
		if r.LastUsed.IsZero() || s.now().Sub(r.LastUsed) > boxregistry.InUse || looked == usedVersions {
			continue
		}
		looked++
		used, err := s.Boxes.Downloads(ctx, box.Name, r.Version)
		if unlessAbsent(err) != nil {
			return nil, err
		}
		all = append(all, used...)
	}
	slices.SortStableFunc(all, func(a, b boxregistry.Download) int { return b.At.Compare(a.At) })
	return all[:min(len(all), shownDownloads)], nil
}

// typedRight tells whether the form holds what must be typed.
func typedRight(c *gin.Context, want string) bool {
	return strings.TrimSpace(c.Request.PostForm.Get("confirm")) == want
}

func (s *Site) deleteBox(c *gin.Context) {
	name, err := pathName(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	if !typedRight(c, name.String()) {
		s.showDeleteBox(c, "That is not its name. Nothing was deleted.")
		return
	}
	s.went(c, s.Makers.DeleteBox(s.asking(c), name), "/boxes/trash")
}

func (s *Site) restoreBox(c *gin.Context) {
	name, err := pathName(c)
	if err == nil {
		err = s.Makers.RestoreBox(s.asking(c), name)
	}
	s.went(c, err, "/"+name.String())
}

func (s *Site) deleteVersionForm(c *gin.Context) { s.showDeleteVersion(c, "") }

func (s *Site) showDeleteVersion(c *gin.Context, problem string) {
	f, err := s.newVersionForm(c, true)
	if err != nil {
		s.fail(c, err)
		return
	}
	v := deleteView{Box: f.Box, Release: &f.Release, Back: f.Path, Confirm: f.Release.Version.String(), Used: f.Used, Problem: problem}
	for _, file := range f.Release.Files {
		v.Stored += file.Size
	}
	s.showDelete(c, v)
}

func (s *Site) deleteVersion(c *gin.Context) {
	name, v, err := pathVersion(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	if !typedRight(c, v.String()) {
		s.showDeleteVersion(c, "That is not its number. Nothing was deleted.")
		return
	}
	err = s.Versions.DeleteVersion(s.asking(c), name, v)
	s.went(c, err, "/"+name.String())
}

func (s *Site) restoreVersion(c *gin.Context) {
	s.changeVersion(c, func(name boxregistry.Name, v boxregistry.Version) error {
		return s.Versions.RestoreVersion(s.asking(c), name, v)
	})
}

// trashView is the deleted boxes that the visitor may restore.
type trashView struct{ Boxes []boxregistry.Box }

func (trashView) isView() {}

func (s *Site) trash(c *gin.Context) {
	all, err := s.Boxes.Trash(s.asking(c))
	if err != nil {
		s.fail(c, err)
		return
	}
	who := s.who(c)
	mine := slices.DeleteFunc(slices.Clone(all), func(b boxregistry.Box) bool { return !who.PermitsIn(b.Name.Org(), auth.Write) })
	s.render(c, http.StatusOK, "trash.html", page{Title: "Deleted boxes", Section: "boxes", Body: trashView{mine}})
}
