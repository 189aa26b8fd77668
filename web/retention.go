package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
)

const day = 24 * time.Hour

// Most that the form takes: as much as anybody could mean.
const (
	maxKeepLast = 100_000
	maxKeepDays = 36_500
)

// retentionView is the form of the retention rules, with what they would let go now.
type retentionView struct {
	Box      shownBox
	Last     string // as typed; empty sets no such rule
	Days     string
	Preview  bool // the rules are not those of the box yet
	Set      bool // any rule is set
	Expired  []boxregistry.Release
	Kept     int // released versions that stay
	InUse    int // days that a download keeps a version
	Problem  string
	SavePath string
}

func (retentionView) isView() {}

// readRetention reads the two numbers; empty text or 0 sets no rule.
func readRetention(form url.Values) (boxregistry.Retention, error) {
	last, lastErr := smallNumber(form.Get("last"), "the number of versions", maxKeepLast)
	days, daysErr := smallNumber(form.Get("days"), "the number of days", maxKeepDays)
	for _, err := range []error{lastErr, daysErr} {
		if err != nil {
			return boxregistry.Retention{}, err
		}
	}
	return boxregistry.Retention{KeepLast: last, KeepNewer: time.Duration(days) * day}, nil
}

func smallNumber(text, what string, most int) (int, error) {
	if text = strings.TrimSpace(text); text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return 0, &Refusal{http.StatusBadRequest, fmt.Sprintf("%q is not %s: type a whole number up to %d, or nothing.", text, what, most)}
	}
	return n, nil
}

// retentionForm shows the rules of a box, or with numbers in the URL what those would do.
func (s *Site) retentionForm(c *gin.Context) {
	box, err := s.findBox(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	query := c.Request.URL.Query()
	if !query.Has("last") && !query.Has("days") {
		s.showRetention(c, http.StatusOK, s.newRetentionView(box, box.Retention), "")
		return
	}
	rules, err := readRetention(query)
	text, status, _ := problem(err)
	v := s.newRetentionView(box, rules)
	v.Preview = rules != box.Retention
	if text != "" {
		v.Last, v.Days = query.Get("last"), query.Get("days")
	}
	s.showRetention(c, status, v, text)
}

func (s *Site) newRetentionView(box shownBox, rules boxregistry.Retention) retentionView {
	v := retentionView{Box: box, Set: rules.Set(), Expired: rules.Expired(box.Box, s.now()), InUse: int(boxregistry.InUse / day)}
	if rules.KeepLast > 0 {
		v.Last = strconv.Itoa(rules.KeepLast)
	}
	if rules.KeepNewer > 0 {
		v.Days = strconv.Itoa(int((rules.KeepNewer + day - 1) / day))
	}
	for _, r := range box.Releases {
		if r.Open() {
			v.Kept++
		}
	}
	v.Kept -= len(v.Expired)
	return v
}

func (s *Site) showRetention(c *gin.Context, status int, v retentionView, problem string) {
	v.Problem, v.SavePath = problem, boxPath(v.Box.Name)+"/retention"
	s.render(c, status, "retention.html", page{Title: "Retention of " + v.Box.Name.String(), Section: "boxes", Body: v})
}

// retention sets the rules; the registry lets go what they let go when it next looks.
func (s *Site) retention(c *gin.Context) {
	name, err := pathName(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	rules, err := readRetention(c.Request.PostForm)
	if err == nil {
		err = s.Makers.EditBox(s.asking(c), name, func(b *boxregistry.Box) error {
			b.Retention = rules
			return nil
		})
	}
	s.went(c, err, boxPath(name)+"/retention")
}
