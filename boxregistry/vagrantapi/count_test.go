package vagrantapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// ledger keeps what was counted.
type ledger struct {
	mu   sync.Mutex
	list []boxregistry.Download
	err  error
}

func (l *ledger) Downloaded(_ context.Context, list []boxregistry.Download) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.list = append(l.list, list...)
	}
	return l.err
}

func (l *ledger) total() (n int64) {
	for _, d := range l.list {
		n += d.Count
	}
	return n
}

func TestDownloadsAreCounted(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		requests []string // method, range, token
		want     int64
	}{
		"a whole file":                  {[]string{"GET"}, 1},
		"twice":                         {[]string{"GET", "GET"}, 2},
		"HEAD":                          {[]string{"HEAD", "HEAD bytes=0-"}, 0},
		"the beginning":                 {[]string{"GET bytes=0-9"}, 0},
		"the end":                       {[]string{"GET bytes=10-"}, 0},
		"resumed":                       {[]string{"GET bytes=0-9", "GET bytes=10-"}, 1},
		"resumed twice, and overlaps":   {[]string{"GET bytes=0-9", "GET bytes=5-14", "GET bytes=14-"}, 1},
		"in pieces, out of order":       {[]string{"GET bytes=15-19", "GET bytes=0-4", "GET bytes=10-14", "GET bytes=5-9"}, 1},
		"by two clients, half each":     {[]string{"GET bytes=0-9 " + reader, "GET bytes=10- " + writer}, 0},
		"a hole":                        {[]string{"GET bytes=0-8", "GET bytes=10-"}, 0},
		"the whole as a range":          {[]string{"GET bytes=0-"}, 1},
		"nothing is left to send":       {[]string{"GET bytes=20-"}, 0},
		"whole, and asks for the rest":  {[]string{"GET", "GET bytes=20-"}, 1},
		"several ranges in one request": {[]string{"GET bytes=0-4,5-19"}, 0},
		"a probe and the whole":         {[]string{"GET bytes=0-0", "GET"}, 1},
		"not modified":                  {[]string{"GET-304"}, 0},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newCloud(t)
			var l ledger
			b.api.tally.sink = &l
			d := b.put("ops/deb", "1.0", "libvirt", "amd64", content)
			if err := b.Release(t.Context(), must(boxregistry.ParseName("ops/deb")), must(boxregistry.ParseVersion("1.0"))); err != nil {
				t.Fatal(err)
			}
			for _, r := range c.requests {
				fields := strings.Fields(r + " - -")
				headers := []string{"Range: " + fields[1], "Authorization: Bearer " + fields[2]}
				if fields[1] == "-" {
					headers[0] = "X: y"
				}
				if method, _, found := strings.Cut(fields[0], "-304"); found {
					fields[0] = method
					headers = []string{`If-None-Match: "` + string(d) + `"`}
				}
				b.ask(fields[0], "/ops/boxes/deb/versions/1.0/providers/libvirt.box", headers...)
			}
			if err := b.api.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := l.total(); got != c.want {
				t.Errorf("counted %d, want %d", got, c.want)
			}
			for _, dl := range l.list {
				if dl.Box.String() != "ops/deb" || dl.Version.String() != "1.0" || dl.Client != "127.0.0.1" || dl.Provider != "libvirt" || dl.Architecture != "amd64" || dl.At.IsZero() {
					t.Errorf("%+v", dl)
				}
			}
		})
	}
}

// Who uses a version is known by name also when the download came without a token.
func TestDownloadsAreOfSomebody(t *testing.T) {
	t.Parallel()
	c, _ := privateCloud(t)
	var l ledger
	c.api.tally.sink = &l
	url := c.catalogOf("/ops/shut", "Authorization: Bearer "+reader).Versions[0].Providers[0].URL
	c.ask("GET", url)
	c.ask("GET", strings.Replace(url, "/dl/", "/dl/x", 1))
	c.ask("GET", "/ops/boxes/open/versions/1.0/providers/libvirt.box", "Authorization: Bearer "+writer)
	if err := c.api.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range l.list {
		got = append(got, fmt.Sprint(d.Box, " ", d.Client, " ", d.Count))
	}
	slices.Sort(got)
	if want := []string{"ops/open ci 1", "ops/shut laptop 1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestCountsSurviveADatabaseThatIsBusy(t *testing.T) {
	t.Parallel()
	l := ledger{err: errors.New("busy")}
	ta := newTally(&l, time.Now)
	f := located{box: must(boxregistry.ParseName("ops/deb")), file: boxregistry.File{Digest: "d"}}
	ta.sent(f, "a", span{0, 10}, 10)
	if err := ta.flush(t.Context()); err == nil {
		t.Error("the error is lost")
	}
	ta.sent(f, "a", span{0, 10}, 10)
	l.err = nil
	if err := ta.flush(t.Context()); err != nil || l.total() != 2 {
		t.Errorf("%v, counted %d of 2", err, l.total())
	}
	if err := ta.flush(t.Context()); err != nil || l.total() != 2 {
		t.Errorf("%v, counted again", err)
	}
}

func TestRunFlushesAndEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l ledger
		api := New(nil, Options{Downloads: &l, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- api.Run(ctx) }()
		api.tally.sent(located{}, "a", span{0, 1}, 1)
		time.Sleep(flushEvery + 1)
		synctest.Wait()
		if l.total() != 1 {
			t.Errorf("counted %d", l.total())
		}
		l.err = errors.New("busy")
		api.tally.sent(located{}, "a", span{0, 1}, 1)
		time.Sleep(flushEvery)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Spans joined in any order are what was marked byte by byte.
func TestSpans(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var p parts
		var marked [64]bool
		for range 1 + random.IntN(12) {
			from := random.IntN(len(marked))
			to := from + 1 + random.IntN(len(marked)-from)
			p.add(span{int64(from), int64(to)})
			for i := from; i < to; i++ {
				marked[i] = true
			}
		}
		var got [64]bool
		for i, s := range p.spans {
			if i > 0 && p.spans[i-1].to >= s.from {
				t.Fatalf("%v touch", p.spans)
			}
			for j := s.from; j < s.to; j++ {
				got[j] = true
			}
		}
		if got != marked {
			t.Fatalf("%v, want %v", p.spans, marked)
		}
	}
}

func TestPartsAreBounded(t *testing.T) {
	t.Parallel()
	var l ledger
	now := time.Unix(0, 0)
	ta := newTally(&l, func() time.Time { now = now.Add(time.Second); return now })
	f := located{file: boxregistry.File{Digest: "d"}}
	for i := range 3 * partsLimit {
		ta.sent(f, fmt.Sprint(i), span{0, 1}, 10)
	}
	if len(ta.parts) > partsLimit {
		t.Errorf("%d beginnings are remembered", len(ta.parts))
	}
	ta.sent(f, fmt.Sprint(3*partsLimit-1), span{1, 10}, 10)
	if len(ta.pending) != 1 {
		t.Error("the newest beginning was forgotten")
	}
	now = now.Add(2 * partsKept)
	ta.mu.Lock()
	ta.forget()
	ta.mu.Unlock()
	if len(ta.parts) != 0 {
		t.Errorf("%d old beginnings are remembered", len(ta.parts))
	}
	var p parts
	for i := range 2 * spansLimit {
		p.add(span{int64(2 * i), int64(2*i + 1)})
	}
	if len(p.spans) > spansLimit {
		t.Errorf("%d pieces of one download", len(p.spans))
	}
}
