package web

import (
	"fmt"
	"html/template"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
)

// funcs are what templates may call. All of them return text, which the templates escape.
func (s *Site) funcs() template.FuncMap {
	return template.FuncMap{
		"ago":     func(t time.Time) string { return ago(s.now(), t) },
		"bytes":   formatBytes,
		"count":   formatCount,
		"rfc3339": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"exact":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	}
}

// formatBytes writes a size as "412 MB", in powers of ten as disks and downloads are counted.
func formatBytes(n int64) string {
	units := []string{"kB", "MB", "GB", "TB", "PB", "EB"}
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n), -1
	for v >= 999.5 && unit < len(units)-1 {
		v, unit = v/1000, unit+1
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %s", v, units[unit])
	}
	return fmt.Sprintf("%.0f %s", v, units[unit])
}

// formatCount writes a number with its thousands apart. A template gives it whatever kind of whole number it has.
func formatCount(n any) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "\u202f" + digits[i:]
	}
	return digits
}

// ago writes how long before now t was.
func ago(now, t time.Time) string {
	d := now.Sub(t)
	for _, u := range []struct {
		size time.Duration
		one  string
	}{{365 * 24 * time.Hour, "year"}, {30 * 24 * time.Hour, "month"}, {24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if n := int(d / u.size); n > 1 {
			return fmt.Sprintf("%d %ss ago", n, u.one)
		} else if n == 1 {
			return "1 " + u.one + " ago"
		}
	}
	return "just now"
}

// duration writes how long something took, as exactly as anybody wants to know.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
}

// pager leads from one page of a list to the next.
type pager struct {
	Number, Pages int
	Previous      string // URL, empty on the first page
	Next          string // URL, empty on the last page
}

// newPager places page number of total things; link makes the URL of a page.
func newPager(number, total, size int, link func(page int) string) pager {
	p := pager{Number: number, Pages: max(1, (total+size-1)/size)}
	if number > 1 {
		p.Previous = link(min(number-1, p.Pages))
	}
	if number < p.Pages {
		p.Next = link(number + 1)
	}
	return p
}

// maxPage keeps offsets far from overflow.
const maxPage = 100_000

// pageNumber reads ?page=, and takes 1 for whatever is not a page.
func pageNumber(c *gin.Context) int {
	n, err := strconv.Atoi(c.Query("page"))
	if err != nil || n < 1 || n > maxPage {
		return 1
	}
	return n
}
