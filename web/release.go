package web

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// maxReason bounds why a version is revoked, in bytes.
const maxReason = 1000

// changeVersion does something with the version that the path names, and leads back to its page.
func (s *Site) changeVersion(c *gin.Context, change func(boxregistry.Name, boxregistry.Version) error) {
	name, v, err := pathVersion(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.went(c, change(name, v), versionPath(name, v))
}

// release opens a draft to the channel that the form names.
func (s *Site) release(c *gin.Context) {
	s.changeVersion(c, func(name boxregistry.Name, v boxregistry.Version) error {
		channel, err := formChannel(c)
		if err != nil {
			return err
		}
		return s.Versions.Release(s.asking(c), name, v, channel)
	})
}

func formChannel(c *gin.Context) (boxregistry.Channel, error) {
	text := strings.TrimSpace(c.Request.PostForm.Get("channel"))
	if text == "" {
		return boxregistry.Stable, nil
	}
	return boxregistry.ParseChannel(text)
}

func (s *Site) promote(c *gin.Context) {
	s.changeVersion(c, func(name boxregistry.Name, v boxregistry.Version) error {
		channel, err := formChannel(c)
		if err != nil {
			return err
		}
		return s.Versions.Promote(s.asking(c), name, v, channel)
	})
}

func (s *Site) demote(c *gin.Context) {
	s.changeVersion(c, func(name boxregistry.Name, v boxregistry.Version) error {
		channel, err := formChannel(c)
		if err != nil {
			return err
		}
		return s.Versions.Demote(s.asking(c), name, v, channel)
	})
}

// pin keeps retention away from a version, or with an empty value no longer.
func (s *Site) pin(c *gin.Context) {
	s.changeVersion(c, func(name boxregistry.Name, v boxregistry.Version) error {
		return s.Versions.Pin(s.asking(c), name, v, c.Request.PostForm.Get("pinned") != "")
	})
}

// versionForm is a form about one version.
type versionForm struct {
	Box     shownBox
	Path    string // of the version's page
	Release boxregistry.Release
	Notes   string
	Used    []boxregistry.Download
	Problem string
}

func (versionForm) isView() {}

// newVersionForm finds the version, and who downloads it if the form says so.
func (s *Site) newVersionForm(c *gin.Context, withUsers bool) (versionForm, error) {
	box, rel, err := s.findVersion(c)
	if err != nil {
		return versionForm{}, err
	}
	v := versionForm{Box: box, Path: versionPath(box.Name, rel.Version), Release: rel, Notes: rel.Description}
	if !withUsers {
		return v, nil
	}
	v.Used, err = s.Boxes.Downloads(s.asking(c), box.Name, rel.Version)
	v.Used = v.Used[:min(len(v.Used), shownDownloads)]
	return v, unlessAbsent(err)
}

func (s *Site) showVersionForm(c *gin.Context, status int, file, title string, v versionForm) {
	s.render(c, status, file, page{Title: title + " " + v.Box.Name.String() + " " + v.Release.Version.String(), Section: "boxes", Body: v})
}

func (s *Site) notesForm(c *gin.Context) {
	v, err := s.newVersionForm(c, false)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.showVersionForm(c, http.StatusOK, "notes.html", "Notes of", v)
}

func (s *Site) notes(c *gin.Context) {
	s.changeVersion(c, func(name boxregistry.Name, v boxregistry.Version) error {
		return s.Versions.DescribeVersion(s.asking(c), name, v, plainLines(c.Request.PostForm.Get("notes")))
	})
}

func (s *Site) revokeForm(c *gin.Context) {
	v, err := s.newVersionForm(c, true)
	if err == nil && v.Release.State != boxregistry.Released {
		err = &Refusal{http.StatusConflict, "Only a released version can be revoked; this one is " + string(v.Release.State) + "."}
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.showVersionForm(c, http.StatusOK, "revoke.html", "Revoke", v)
}

// revoke hides a version for good. It needs a reason: whoever used the version reads it.
func (s *Site) revoke(c *gin.Context) {
	why := strings.Join(strings.Fields(c.Request.PostForm.Get("why")), " ")
	if why != "" && len(why) <= maxReason {
		s.changeVersion(c, func(name boxregistry.Name, v boxregistry.Version) error {
			return s.Versions.Revoke(s.asking(c), name, v, why)
		})
		return
	}
	v, err := s.newVersionForm(c, true)
	if err != nil {
		s.fail(c, err)
		return
	}
	v.Problem, v.Notes = "Say why, in at most a few sentences: those who use the version read it.", why
	s.showVersionForm(c, http.StatusBadRequest, "revoke.html", "Revoke", v)
}
