package build

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// keptInMemory is KeptStages by fingerprint and by stage.
type keptInMemory struct {
	under map[string][]Kept
	near  map[string]Kept
	err   error
}

func (k keptInMemory) Lookup(_ context.Context, fingerprint string) ([]Kept, error) {
	return k.under[fingerprint], k.err
}

func (k keptInMemory) Nearest(_ context.Context, label, template, stage string) (Kept, bool, error) {
	found, ok := k.near[label+" "+template+" "+stage]
	return found, ok, k.err
}

var explainedAt = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// keep has the first n stages kept, made so long ago.
func (k keptInMemory) keep(p *Plan, stages []Stage, n int, ago time.Duration) {
	var ran []Stamp
	for _, s := range stages[:n] {
		ran = append(ran, Stamp(explainedAt.Add(-ago)))
		kept := Kept{Reads: s.Reads, Created: explainedAt.Add(-ago), Ran: ran}
		k.under[s.Fingerprint] = []Kept{kept}
		k.near[p.Label+" "+p.Template+" "+s.Name] = kept
	}
}

// summarise writes a stage as one word: "cached", the reason, or "-".
func summarise(all []StageStatus) string {
	var words []string
	for _, s := range all {
		switch {
		case s.Cached:
			words = append(words, "cached")
		case s.Why != "":
			words = append(words, s.Why)
		default:
			words = append(words, "-")
		}
	}
	return strings.Join(words, " | ")
}

func TestExplain(t *testing.T) {
	t.Parallel()
	content := func(name string) func(p *Plan) {
		return func(p *Plan) {
			for i, in := range p.Inputs {
				if strings.HasSuffix(in.Path, name) {
					p.Inputs[i].Digest = digestOf("other")
				}
			}
		}
	}
	no := false
	tests := []struct {
		name   string
		kept   int // stages kept before the change
		ago    time.Duration
		change func(p *Plan)
		want   string
	}{
		{"nothing kept", 0, 0, func(*Plan) {}, "never built | - | - | - | -"},
		{"all kept", 5, time.Hour, func(*Plan) {}, "cached | cached | cached | cached | cached"},
		{"some kept", 3, time.Hour, func(*Plan) {}, "cached | cached | cached | never built | -"},
		{"script changed", 5, time.Hour, content("scripts/a.sh"), "cached | cached | `scripts/a.sh` changed | - | -"},
		{"argument changed", 5, time.Hour, func(p *Plan) { p.Provisioners[0].Args = []byte(`{"inline":["x"],"env":{"A":"1"}}`) }, "cached | `inline` changed | - | - | -"},
		{"argument added and gone", 5, time.Hour, func(p *Plan) { p.Provisioners[0].Args = []byte(`{"inline":["echo one"],"scripts":["t/info.json"]}`) },
			"cached | `scripts`, `info.json` added, `env` removed | - | - | -"},
		{"much changed", 5, time.Hour, func(p *Plan) {
			p.Machine.CPUs, p.Machine.MemoryMiB, p.CD.Label, p.Boot.BootCommand, p.Machine.Arch = 9, 9, "x", nil, "arm64"
		}, "`cd_label`, `arch`, `cpus` and 1 more changed, `boot_command` removed | - | - | - | -"},
		{"too old", 5, 25 * time.Hour, func(*Plan) {}, "older than 24h | - | - | - | -"},
		{"too old for one", 5, 2 * time.Hour, func(p *Plan) { p.Provisioners[1].CacheMaxAge = 90 * time.Minute }, "cached | cached | older than 1h30m | - | -"},
		{"volatile", 5, time.Hour, func(p *Plan) { p.Provisioners[0].Args = []byte("{\"inline\":[\"{{ build `ID` }}\"]}") }, "cached | uses build.ID in inline | - | - | -"},
		{"cache = false", 5, time.Hour, func(p *Plan) { p.Provisioners[2].Cache = &no }, "cached | cached | cached | cache = false | -"},
		{"fresh", 5, time.Hour, func(p *Plan) { p.Options.Fresh = true }, "--fresh | - | - | - | -"},
		{"other template", 5, time.Hour, func(p *Plan) { p.Template, p.Machine.CPUs = "y.pkr.hcl", 7 }, "never built | - | - | - | -"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := stagePlan()
			kept := keptInMemory{under: map[string][]Kept{}, near: map[string]Kept{}}
			kept.keep(p, mustStages(t, p, stageTestOptions), tt.kept, tt.ago)
			tt.change(p)
			all, err := Explain(t.Context(), p, mustStages(t, p, stageTestOptions), kept, explainedAt)
			if got := summarise(all); got != tt.want || err != nil {
				t.Errorf("%s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

func TestExplainWhatIsUnfit(t *testing.T) {
	t.Parallel()
	p := stagePlan()
	stages := mustStages(t, p, stageTestOptions)
	kept := keptInMemory{under: map[string][]Kept{}, near: map[string]Kept{}}
	kept.keep(p, stages, 3, time.Minute)
	one := kept.under[stages[2].Fingerprint][0]
	one.Unfit = "it was frozen by QEMU 7.1.0"
	kept.under[stages[2].Fingerprint] = []Kept{one}
	all, err := Explain(t.Context(), p, stages, kept, explainedAt)
	if got := summarise(all); got != "cached | cached | it was frozen by QEMU 7.1.0 | - | -" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}

// The installation was evicted, but a later stage is there: nothing before it is needed.
func TestExplainStartsFromTheLatest(t *testing.T) {
	t.Parallel()
	p := stagePlan()
	stages := mustStages(t, p, stageTestOptions)
	kept := keptInMemory{under: map[string][]Kept{}, near: map[string]Kept{}}
	kept.keep(p, stages, 3, time.Minute)
	delete(kept.under, stages[0].Fingerprint)
	all, err := Explain(t.Context(), p, stages, kept, explainedAt)
	if got := summarise(all); got != "- | cached | cached | never built | -" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	// A stage that was kept on another machine's fingerprint.
	kept.near[p.Label+" "+p.Template+" "+stages[3].Name] = Kept{Reads: stages[3].Reads}
	all, err = Explain(t.Context(), p, stages, kept, explainedAt)
	if got := summarise(all); got != "- | cached | cached | never built after this provision[2] script | -" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}

func TestExplainReportsTheStore(t *testing.T) {
	t.Parallel()
	p, broken := stagePlan(), errors.New("disk on fire")
	_, err := Explain(t.Context(), p, mustStages(t, p, stageTestOptions), keptInMemory{err: broken}, explainedAt)
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestAge(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		24 * time.Hour: "24h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 45 * time.Second: "45s", time.Hour + time.Second: "1h0m1s", 20 * time.Hour: "20h",
	} {
		if got := age(d); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
