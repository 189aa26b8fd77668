package web

import (
	"encoding/xml"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/markdown"
)

// feedLength is how many entries a feed has.
const feedLength = 50

// feed is an Atom feed (RFC 4287).
type feed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string      `xml:"id"`
	Title   string      `xml:"title"`
	Updated string      `xml:"updated"`
	Author  string      `xml:"author>name"`
	Links   []feedLink  `xml:"link"`
	Entries []feedEntry `xml:"entry"`
}

type feedLink struct {
	Rel  string `xml:"rel,attr"`
	Href string `xml:"href,attr"`
}

type feedEntry struct {
	ID      string     `xml:"id"`
	Title   string     `xml:"title"`
	Updated string     `xml:"updated"`
	Links   []feedLink `xml:"link"`
	Content *feedText  `xml:"content"`
}

type feedText struct {
	Type string `xml:"type,attr"`
	Text string `xml:",chardata"`
}

// add appends an entry about a page and keeps the feed's own time.
func (f *feed) add(page, title, html string, at time.Time) {
	stamp := at.UTC().Format(time.RFC3339)
	e := feedEntry{ID: page, Title: title, Updated: stamp, Links: []feedLink{{"alternate", page}}}
	if html != "" {
		e.Content = &feedText{"html", html}
	}
	f.Entries, f.Updated = append(f.Entries, e), max(f.Updated, stamp)
}

// listFeed is the boxes that were updated last.
func (s *Site) listFeed(c *gin.Context) {
	boxes, _, err := s.Boxes.List(s.asking(c), boxregistry.ListQuery{Seen: sight(s.who(c)), Sort: boxregistry.ByUpdated, Limit: feedLength, ReleasedOnly: true})
	if err != nil {
		s.fail(c, err)
		return
	}
	base := s.base.For(c.Request)
	f := newFeed(base, "/boxes/feed.atom", "/", "Boxes")
	for _, b := range boxes {
		f.add(base+versionPath(b.Name, b.Newest), b.Name.String()+" "+b.Newest.String(), markdown.HTML(b.ShortDescription, 3), b.Updated)
	}
	s.sendFeed(c, f)
}

// boxFeed is the versions of a box that clients see.
func (s *Site) boxFeed(c *gin.Context) {
	box, err := s.findBox(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	base := s.base.For(c.Request)
	f := newFeed(base, boxPath(box.Name)+"/feed.atom", "/"+box.Name.String(), box.Name.String())
	visible := box.Visible()
	for _, r := range visible[:min(len(visible), feedLength)] {
		f.add(base+versionPath(box.Name, r.Version), box.Name.String()+" "+r.Version.String(), markdown.HTML(r.Description, 3), r.Released)
	}
	s.sendFeed(c, f)
}

func newFeed(base, self, page, title string) feed {
	return feed{ID: base + self, Title: title, Updated: time.Unix(0, 0).UTC().Format(time.RFC3339), Author: "Boxkiln",
		Links: []feedLink{{"self", base + self}, {"alternate", base + page}}}
}

func (s *Site) sendFeed(c *gin.Context, f feed) {
	data, err := xml.MarshalIndent(f, "", " ")
	if err != nil {
		s.fail(c, err)
		return
	}
	secure(c)
	c.Header("Cache-Control", "private, no-cache")
	c.Header("Vary", "Cookie")
	c.Data(http.StatusOK, "application/atom+xml; charset=utf-8", append([]byte(xml.Header), data...))
}
