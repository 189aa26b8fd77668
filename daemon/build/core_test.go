package build

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var allStates = []State{Queued, Running, Canceling, Succeeded, Failed, Errored, Canceled, Interrupted}

func TestStates(t *testing.T) {
	t.Parallel()
	for _, from := range allStates {
		reachable := from == Queued
		for _, to := range allStates {
			if resumed := to == Queued && from != Succeeded; from.Final() && from.MayBecome(to) != resumed {
				t.Errorf("%s is final and may become %s: %v", from, to, !resumed)
			}
			reachable = reachable || to.MayBecome(from)
		}
		if !reachable {
			t.Errorf("nothing becomes %s", from)
		}
		if leaves := len(transitions[from]) > 0; leaves != (from != Succeeded) {
			t.Errorf("%s has transitions: %v", from, leaves)
		}
	}
	if Queued.MayBecome(Succeeded) || !Running.MayBecome(Canceling) || Canceling.MayBecome(Running) {
		t.Error("the table of transitions is wrong")
	}
}

func TestOurFaultOfNothing(t *testing.T) {
	t.Parallel()
	if err := OurFault(nil); err != nil {
		t.Error(err)
	}
	base := errors.New("no disk")
	if !errors.Is(OurFault(base), base) {
		t.Error("the cause is lost")
	}
}

func TestNewID(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 12, 37, 0, 0, time.FixedZone("CET", 3600))
	first, second := NewID(at), NewID(at.Add(time.Second))
	if !regexp.MustCompile(`^20261120-113700-[0-9a-f]+$`).MatchString(string(first)) || first >= second {
		t.Errorf("%s, %s", first, second)
	}
}

func TestLineWriter(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", lineLimit)
	tests := []struct {
		name   string
		writes []string
		lines  []string
	}{
		{"nothing", nil, nil},
		{"lines", []string{"a\nb\n"}, []string{"a", "b"}},
		{"an unfinished last line", []string{"a\nb"}, []string{"a", "b"}},
		{"split anywhere", []string{"he", "llo\nwo", "rld\n"}, []string{"hello", "world"}},
		{"empty lines", []string{"\n\na\n"}, []string{"", "", "a"}},
		{"line ends of Windows", []string{"a\r\nb\r", "\n"}, []string{"a", "b"}},
		{"a carriage return within", []string{"10%\r20%\r\n"}, []string{"10%\r20%"}},
		{"a percent sign is no format", []string{"100%s\n"}, []string{"100%s"}},
		{"no end for ever", []string{long, long, "y\n"}, []string{long, long, "y"}},
		{"exactly the limit", []string{long + "\n", "z\n"}, []string{long, "z"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sink := &events{}
			w := Log{Sink: sink, Now: time.Now}.Writer()
			for _, p := range tt.writes {
				if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
					t.Fatalf("%d of %d, %v", n, len(p), err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, e := range sink.all {
				lines = append(lines, e.Text)
			}
			if d := cmp.Diff(tt.lines, lines); d != "" {
				t.Error(d)
			}
		})
	}
}

// However output is cut into writes, the lines are the same.
func TestLineWriterDoesNotCareAboutChunks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([ab\r]{0,4}\n?){0,6}`).Draw(t, "text")
		lines := func(chunk int) []string {
			sink := &events{}
			w := Log{Sink: sink, Now: time.Now}.Writer()
			for rest := []byte(text); len(rest) > 0; rest = rest[min(chunk, len(rest)):] {
				if _, err := w.Write(rest[:min(chunk, len(rest))]); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, e := range sink.all {
				lines = append(lines, e.Text)
			}
			return lines
		}
		if d := cmp.Diff(lines(1<<20), lines(rapid.IntRange(1, 5).Draw(t, "chunk"))); d != "" {
			t.Error(d)
		}
	})
}

func TestSealHidesEverySecret(t *testing.T) {
	t.Parallel()
	p := &Plan{
		Format: PlanFormat, Label: "qemu.hunter2", TemplateDir: "/t",
		Provisioners: []ProvisionPlan{{Type: "shell", Args: json.RawMessage(`{"inline":["echo hunter2hunter2 \"q\u0022<uote\"","a\nb\u0026c"],"count":18446744073709551615}`)}},
		Secrets:      []string{"hunter2", "", "hunter2hunter2", "q\"<uote", "\nb&c", "hunter2"},
	}
	public, secrets, err := Seal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(secrets, "hunter2", "uote", "b&c", `b\u0026c`) {
		if strings.Contains(string(public), s) {
			t.Errorf("%q is in %s", s, public)
		}
	}
	if !strings.Contains(string(public), "18446744073709551615") {
		t.Errorf("a number lost its digits: %s", public)
	}
	back, err := Unseal(public, secrets)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p.Secrets, back.Secrets); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(plain(t, p), plain(t, back)); d != "" {
		t.Error(d)
	}
	if p.Label != "qemu.hunter2" || len(p.Secrets) != 6 {
		t.Error("the plan that was sealed has changed")
	}
}

// plain is a plan's JSON as untyped values, without the list of its secrets.
func plain(t testing.TB, p *Plan) any {
	t.Helper()
	bare := *p
	bare.Secrets = nil
	data, err := json.Marshal(bare)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Secrets may overlap, contain each other, or be a single letter that is part of a marker.
func TestUnsealUndoesSeal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		texts := rapid.SliceOf(rapid.StringMatching(`[secrt:019ab"\\<&é ]{0,12}`))
		p := &Plan{Label: "x", Template: strings.Join(texts.Draw(rt, "text"), ""), Secrets: texts.Draw(rt, "secrets")}
		p.CD.Files = texts.Draw(rt, "files")
		public, secrets, err := Seal(p)
		if err != nil {
			rt.Fatal(err)
		}
		back, err := Unseal(public, secrets)
		if err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(plain(t, p), plain(t, back)); d != "" {
			rt.Error(d)
		}
	})
}

func TestUnsealRefuses(t *testing.T) {
	t.Parallel()
	public, _, err := Seal(&Plan{Label: "a-secret", Secrets: []string{"a-secret"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Unseal(public, nil); err == nil || !strings.Contains(err.Error(), "only 0 are kept") {
		t.Errorf("secrets are missing: %v", err)
	}
	for _, bad := range []string{"", "{", `{"format":"one"}`, `{"label":"\ue000secret:99999999999999999999\ue001"}`} {
		if _, err := Unseal([]byte(bad), nil); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestStamp(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 5, 6, 7, 8_000_000, time.FixedZone("", -3600))
	for _, tt := range []struct {
		stamp Stamp
		json  string
	}{{Stamp(at), `"2026-03-04T06:06:07.008Z"`}, {Stamp{}, "null"}} {
		data, err := json.Marshal(tt.stamp)
		if err != nil || string(data) != tt.json {
			t.Errorf("%s, %v", data, err)
		}
		back := Stamp(time.Now())
		if err := json.Unmarshal(data, &back); err != nil || !back.Time().Equal(tt.stamp.Time()) {
			t.Errorf("%v, %v", back, err)
		}
		back = Stamp(time.Now())
		value, err := tt.stamp.Value()
		if err != nil {
			t.Fatal(err)
		}
		if err := back.Scan(value); err != nil || !back.Time().Equal(tt.stamp.Time()) {
			t.Errorf("%v, %v", back, err)
		}
	}
	var s Stamp
	for _, bad := range []any{nil, 7, "yesterday"} {
		if err := s.Scan(bad); err == nil {
			t.Errorf("%v was taken for a time", bad)
		}
	}
}

func TestPublishArgs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args PublishArgs
		err  string // a part of it; empty for none
	}{
		{PublishArgs{}, ""},
		{PublishArgs{Box: "acme/debian", Version: "1.2.3"}, ""},
		{PublishArgs{Box: "acme/debian"}, "no version"},
		{PublishArgs{Version: "1.0"}, "need a box"},
		{PublishArgs{Smoke: true}, "need a box"},
		{PublishArgs{Box: "debian", Version: "1.0"}, "debian"},
		{PublishArgs{Box: "../etc/passwd", Version: "one two"}, "one two"},
	}
	for _, tt := range tests {
		err := tt.args.Validate()
		if (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%+v: %v", tt.args, err)
		}
	}
}
