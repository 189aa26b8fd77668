package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/eventlog"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/web"
)

// texts reads a log for the pages, with the place after each event.
func texts(t *testing.T, pages shownBuilds, id string, offset int64) string {
	t.Helper()
	var all []string
	err := pages.Read(t.Context(), id, offset, func(e web.Entry) error {
		all = append(all, fmt.Sprintf("%d-%d %s", e.From, e.Next, e.Event.Text))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return strings.Join(all, "\n")
}

func TestPagesReadLogsFromAnyPlace(t *testing.T) {
	t.Parallel()
	b := service(t)
	id := string(submitPlans(t, b, plan("x"))[0].ID)
	b.close(build.ID(id))
	dir, err := b.layout.Build(id)
	if err != nil {
		t.Fatal(err)
	}
	line := func(text string) string { return `{"kind":"say","text":"` + text + `"}` + "\n" } // 26 bytes with a letter
	if err := os.WriteFile(dir.Log(), []byte(line("a")+line("b")+line("c")+`{"kind":"say`), 0o600); err != nil {
		t.Fatal(err)
	}
	size := int64(len(line("a")))
	whole := fmt.Sprintf("0-%d a\n%d-%d b\n%d-%d c", size, size, 2*size, 2*size, 3*size)
	from := func(n int) string { return strings.Join(strings.Split(whole, "\n")[n:], "\n") }
	for offset, want := range map[int64]string{
		0: whole, 1: from(1), size - 1: from(1), size: from(1), 2 * size: from(2), 3 * size: "", 1 << 40: "", -1 << 40: whole,
		-int64(len(`{"kind":"say`)) - size: from(2), -int64(len(`{"kind":"say`)) - size - 1: from(2),
	} {
		if diff := cmp.Diff(want, texts(t, shownBuilds{b}, id, offset)); diff != "" {
			t.Errorf("from %d (-want +got):\n%s", offset, diff)
		}
	}
	enough := errors.New("enough")
	if err := (shownBuilds{b}).Read(t.Context(), id, 0, func(web.Entry) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	for _, none := range []string{"none", "../x", ""} {
		nobody := func(web.Entry) error { return nil }
		if err := (shownBuilds{b}).Read(t.Context(), none, 0, nobody); !errors.Is(err, web.ErrNotFound) {
			t.Errorf("the log of %q: %v", none, err)
		}
		if err := (shownBuilds{b}).Follow(t.Context(), none, 0, nobody); !errors.Is(err, web.ErrNotFound) {
			t.Errorf("following %q: %v", none, err)
		}
	}
}

func TestPagesFilterBuilds(t *testing.T) {
	t.Parallel()
	b := service(t)
	alma, debian := plan("libvirt.Alma"), plan("libvirt.debian")
	alma.Template, debian.Publish.Box = "rhel.pkr.hcl", "ops/debian"
	records := submitPlans(t, b, alma, debian, plan("libvirt.rocky"))
	if _, err := b.Cancel(t.Context(), records[2].ID); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		query web.Query
		want  string
		total int
	}{
		"all":          {web.Query{Limit: 10}, "libvirt.rocky libvirt.debian libvirt.Alma", 3},
		"a page":       {web.Query{Limit: 1, Offset: 1}, "libvirt.debian", 3},
		"state":        {web.Query{State: build.Queued, Limit: 10}, "libvirt.debian libvirt.Alma", 2},
		"box":          {web.Query{Box: "ops/debian", Limit: 10}, "libvirt.debian", 1},
		"label":        {web.Query{Text: "ALMA", Limit: 10}, "libvirt.Alma", 1},
		"template":     {web.Query{Text: "rhel", Limit: 10}, "libvirt.Alma", 1},
		"page of text": {web.Query{Text: "libvirt", Limit: 2, Offset: 2}, "libvirt.Alma", 3},
		"hidden":       {web.Query{Hidden: []string{"lab/x", "Ops/Debian"}, Limit: 10}, "libvirt.rocky libvirt.Alma", 2},
		"hidden text":  {web.Query{Hidden: []string{"ops/debian"}, Text: "debian", Limit: 10}, "", 0},
		"beyond":       {web.Query{Text: "libvirt", Limit: 2, Offset: 20}, "", 3},
		"nothing":      {web.Query{Text: "suse", Limit: 10}, "", 0},
	} {
		list, total, err := shownBuilds{b}.List(t.Context(), tt.query)
		var got []string
		for _, x := range list {
			got = append(got, x.Source)
		}
		if strings.Join(got, " ") != tt.want || total != tt.total || err != nil {
			t.Errorf("%s: %v of %d, %v", name, got, total, err)
		}
	}
}

// A build that asks shows its question on its page until it is answered there.
func TestPagesShowAndAnswerAQuestion(t *testing.T) {
	t.Parallel()
	b := service(t, build.Step{Name: "ask", Do: func(ctx context.Context, s *build.Session) error {
		_, err := s.Ask.Ask(ctx, build.Question{Step: "ask", Text: "red or blue?", Choices: []string{"red", "blue"}})
		return err
	}})
	pages := shownBuilds{b}
	b.run(t)
	id := submitPlans(t, b, plan("x"))[0].ID
	asked := errors.New("asked")
	if err := pages.Follow(t.Context(), string(id), 0, func(e web.Entry) error {
		if e.Event.Kind == build.EventQuestion {
			return asked
		}
		return nil
	}); !errors.Is(err, asked) {
		t.Fatal(err)
	}
	shown, err := pages.Build(t.Context(), string(id))
	want := &web.Question{Text: "red or blue?", Choices: []string{"red", "blue"}}
	if diff := cmp.Diff(want, shown.Question); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if len(shown.Timeline) == 0 || shown.Timeline[len(shown.Timeline)-1].Name != "ask" {
		t.Errorf("the timeline is %+v", shown.Timeline)
	}
	if err := pages.Answer(t.Context(), socket, string(id), "blue"); err != nil {
		t.Error(err)
	}
	if err := b.Follow(t.Context(), id, 0, func(eventlog.Line) error { return nil }); err != nil {
		t.Error(err)
	}
	if shown, err := pages.Build(t.Context(), string(id)); shown.Question != nil || shown.State != build.Succeeded || shown.Resumable || err != nil {
		t.Errorf("%+v, %v", shown, err)
	}
}

// What cannot be done is told in words, with the status of the API.
func TestPagesRefuse(t *testing.T) {
	t.Parallel()
	b := service(t)
	pages, id := shownBuilds{b}, string(submitPlans(t, b, plan("x"))[0].ID)
	refused := func(what string, err error) {
		t.Helper()
		var r *web.Refusal
		if !errors.As(err, &r) || r.Status != http.StatusConflict || r.Text == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("answer", pages.Answer(t.Context(), socket, id, "blue"))
	refused("resume", pages.Resume(t.Context(), socket, id))
	_, err := shownWindow{b}.Type(t.Context(), id, "ls")
	refused("type", err)
	if _, err := pages.Retry(t.Context(), auth.Principal{Name: "ci", Scope: auth.Write}, id); err != nil {
		t.Errorf("retry: %v", err)
	}
	nothing := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, web.ErrNothing) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := pages.Cancel(t.Context(), socket, id); err != nil {
		t.Error(err)
	}
	_, err = shownWindow{b}.Screen(t.Context(), id)
	nothing("screen", err)
	for what, err := range map[string]error{
		"cancel": pages.Cancel(t.Context(), socket, "none"), "resume": pages.Resume(t.Context(), socket, "none"),
		"screen": shownWindow{b}.WatchScreen(t.Context(), "none", nil), "serial": shownWindow{b}.FollowSerial(t.Context(), "none", 0, nil),
		"read serial": shownWindow{b}.ReadSerial(t.Context(), "none", 0, nil),
	} {
		if !errors.Is(err, web.ErrNotFound) {
			t.Errorf("%s of no build: %v", what, err)
		}
	}
}
