package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// printOptions are the switches about what builds print.
type printOptions struct {
	color, timestamps, machine, json bool
}

func (o *printOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.color, "color", true, "colour the output, on a terminal")
	f.BoolVar(&o.timestamps, "timestamp-ui", false, "begin each line with the time")
	f.BoolVar(&o.machine, "machine-readable", false, "print Packer's machine-readable lines")
	f.BoolVar(&o.json, "json", false, "print each event as a JSON object on a line")
}

// printer shows the events of several builds in the shape that Packer's users read. It is safe for concurrent use.
type printer struct {
	env     *environment
	options printOptions
	style   style
	bars    *bars // nil without a terminal

	mu      sync.Mutex
	out     io.Writer
	began   time.Time
	builds  map[build.ID]*progressOf
	order   []build.ID
	answers *bufio.Reader
}

// progressOf is what is known of one build.
type progressOf struct {
	record    build.Record
	began     time.Time
	waiting   *time.Timer // tells that the build is still queued; nil if it is not
	artifacts []build.Made
	done      bool
	err       error
}

// style is how lines of one kind of output look.
type style interface {
	line(w io.Writer, p *printer, e build.Event)
}

func newPrinter(env *environment, o printOptions, records []build.Record) *printer {
	p := &printer{env: env, options: o, out: env.stdout, began: now(), builds: map[build.ID]*progressOf{}}
	terminal := term.IsTerminal(int(env.stdout.Fd()))
	switch {
	case o.json:
		p.style = jsonStyle{}
	case o.machine:
		p.style = machineStyle{}
	default:
		p.style = textStyle{colors: o.color && terminal && env.getenv("NO_COLOR") == "" && env.getenv("PACKER_NO_COLOR") == ""}
		if terminal {
			p.bars = newBars(env.stdout)
			p.out = p.bars
		}
	}
	for _, r := range records {
		p.builds[r.ID] = &progressOf{record: r, began: p.began}
		p.order = append(p.order, r.ID)
	}
	return p
}

func (p *printer) close() {
	p.mu.Lock()
	for _, b := range p.builds {
		b.noLongerQueued()
	}
	p.mu.Unlock()
	if p.bars != nil {
		p.bars.close()
	}
}

// event shows one event of a build.
func (p *printer) event(id build.ID, e build.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.builds[id]
	switch e.Kind {
	case build.EventArtifact:
		b.artifacts = append(b.artifacts, build.Made{Text: e.Text, IDs: e.IDs})
	case build.EventState:
		b.noLongerQueued()
		switch e.State {
		case build.Queued:
			b.waiting = time.AfterFunc(queueNotice, func() { p.stillQueued(b) })
		case build.Running:
			b.began = e.Time
		}
	case build.EventProgress:
		if p.bars != nil {
			p.bars.progress(e)
			return
		}
	}
	p.style.line(p.out, p, e)
}

// queueNotice is how long a build is queued before its user is told: most start at once.
const queueNotice = time.Second

func (b *progressOf) noLongerQueued() {
	if b.waiting != nil {
		b.waiting.Stop()
		b.waiting = nil
	}
}

func (p *printer) stillQueued(b *progressOf) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.waiting != nil && !p.options.json { // whose readers have the event
		p.style.line(p.out, p, build.Event{Time: now(), Kind: build.EventSay, Label: b.record.Label,
			Text: "Queued: builds before it take the room"})
	}
}

// ended remembers how a build ended, as far as this client is concerned.
func (p *printer) ended(id build.ID, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.builds[id]
	b.done, b.err = true, err
	if p.options.json {
		return
	}
	if err != nil {
		p.say("Build '%s' errored after %s: %v\n\n", b.record.Label, span(now().Sub(b.began)), err)
		return
	}
	p.say("Build '%s' finished after %s.\n\n", b.record.Label, span(now().Sub(b.began)))
}

func (p *printer) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if p.options.machine {
		machineLine(p.out, now(), "", "ui", "say", strings.TrimRight(text, "\n"))
		return
	}
	if line := strings.TrimSpace(text); p.options.timestamps && line != "" {
		text = strings.Replace(text, line, now().Local().Format(time.RFC3339)+": "+line, 1)
	}
	fmt.Fprint(p.out, text)
}

func (p *printer) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.builds {
		if !b.done || b.err != nil {
			return true
		}
	}
	return false
}

// summary prints what was made and what was not, as Packer does at its end.
func (p *printer) summary() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.options.json {
		return
	}
	p.say("==> Wait completed after %s\n", span(now().Sub(p.began)))
	p.failures()
	p.artifacts()
}

func (p *printer) failures() {
	head := false
	for _, id := range p.order {
		b := p.builds[id]
		if b.err == nil {
			continue
		}
		if !head {
			p.say("\n==> Some builds didn't complete successfully and had errors:\n")
			head = true
		}
		if p.options.machine {
			machineLine(p.out, now(), b.record.Label, "error", b.err.Error())
		}
		p.say("--> %s: %v\n", b.record.Label, b.err)
	}
}

func (p *printer) artifacts() {
	head := false
	for _, id := range p.order {
		b := p.builds[id]
		if b.err != nil || !b.done {
			continue
		}
		if !head {
			p.say("\n==> Builds finished. The artifacts of successful builds are:\n")
			head = true
		}
		if p.options.machine {
			machineArtifacts(p.out, b.record.Label, b.artifacts)
		}
		for _, a := range b.artifacts {
			p.say("--> %s: %s\n", b.record.Label, a.Text)
		}
	}
	if !head {
		p.say("\n==> Builds finished but no artifacts were created.\n")
	}
}

// ask puts a question of a build to the user. Without a terminal it takes the first choice.
func (p *printer) ask(e build.Event) string {
	if !p.interactive() || len(e.Choices) < 2 && !p.options.isText() {
		return e.Choices[0]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answers == nil {
		p.answers = bufio.NewReader(p.env.stdin)
	}
	for {
		fmt.Fprintf(p.env.stdout, "==> %s: %s ", e.Label, e.Text)
		for i, c := range e.Choices {
			fmt.Fprintf(p.env.stdout, "\n    [%d] %s", i+1, c)
		}
		fmt.Fprint(p.env.stdout, "\n    (1) > ")
		line, err := p.answers.ReadString('\n')
		if choice, ok := chosen(strings.TrimSpace(line), e.Choices); ok || err != nil {
			return choice
		}
	}
}

// interactive tells whether somebody sits at a terminal.
func (p *printer) interactive() bool { return term.IsTerminal(int(p.env.stdin.Fd())) }

func (o printOptions) isText() bool { return !o.json && !o.machine }

// chosen reads an answer: a number, the beginning of a choice as Packer's letters are, or nothing for the first.
func chosen(line string, choices []string) (string, bool) {
	if line == "" {
		return choices[0], true
	}
	for i, c := range choices {
		if line == fmt.Sprint(i+1) || strings.HasPrefix(c, strings.ToLower(line)) {
			return c, true
		}
	}
	return choices[0], false
}

// span is a duration in Packer's words.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	parts := []struct {
		n    int
		unit string
	}{{int(d.Hours()), "hour"}, {int(d.Minutes()) % 60, "minute"}, {int(d.Seconds()) % 60, "second"}}
	var words []string
	for i, p := range parts {
		if p.n == 0 && (len(words) == 0 && i < len(parts)-1) {
			continue
		}
		if p.n == 0 && len(words) > 0 {
			continue
		}
		unit := p.unit
		if p.n != 1 {
			unit += "s"
		}
		words = append(words, fmt.Sprintf("%d %s", p.n, unit))
	}
	return strings.Join(words, " ")
}

// textStyle is for people.
type textStyle struct{ colors bool }

// The colours that Packer gives to builds in turn.
var palette = []string{"32", "36", "35", "33", "34"}

const errorColor = "31"

func (s textStyle) line(w io.Writer, p *printer, e build.Event) {
	prefix, color := "", s.colorOf(p, e.Label)
	switch e.Kind {
	case build.EventSay:
		prefix = "==> "
	case build.EventMessage:
		prefix = "    "
	case build.EventSeed:
		prefix = "    "
		e.Text = "seed: " + e.Text
	case build.EventError:
		prefix, color = "==> ", errorColor
	default:
		return
	}
	for line := range strings.SplitSeq(e.Text, "\n") {
		text := prefix + e.Label + ": " + harmless(line, s.colors)
		if p.options.timestamps {
			text = e.Time.Local().Format(time.RFC3339) + ": " + text
		}
		fmt.Fprintln(w, s.paint(text, color, e.Kind != build.EventMessage && e.Kind != build.EventSeed))
	}
}

func (s textStyle) paint(text, color string, bold bool) string {
	if !s.colors {
		return text
	}
	weight := "0"
	if bold {
		weight = "1"
	}
	return "\x1b[" + weight + ";" + color + "m" + text + "\x1b[0m"
}

func (s textStyle) colorOf(p *printer, label string) string {
	return palette[p.position(label)%len(palette)]
}

func (p *printer) position(label string) int {
	for i, id := range p.order {
		if p.builds[id].record.Label == label {
			return i
		}
	}
	return 0
}

// jsonStyle is for programs.
type jsonStyle struct{}

func (jsonStyle) line(w io.Writer, _ *printer, e build.Event) {
	_ = json.NewEncoder(w).Encode(e) // an output that is gone has no reader to tell
}

// machineStyle is Packer's: timestamp,target,type,data...
type machineStyle struct{}

func (machineStyle) line(w io.Writer, _ *printer, e build.Event) {
	switch e.Kind {
	case build.EventSay:
		machineLine(w, e.Time, "", "ui", "say", "==> "+e.Label+": "+e.Text)
	case build.EventMessage, build.EventSeed:
		machineLine(w, e.Time, "", "ui", "message", "    "+e.Label+": "+e.Text)
	case build.EventError:
		machineLine(w, e.Time, "", "ui", "error", "==> "+e.Label+": "+e.Text)
	}
}

// machineEscaper writes what would end a field or a line as Packer does.
var machineEscaper = strings.NewReplacer(",", "%!(PACKER_COMMA)", "\r", "\\r", "\n", "\\n")

func machineLine(w io.Writer, t time.Time, target, typ string, data ...string) {
	for i := range data {
		data[i] = machineEscaper.Replace(data[i])
	}
	fmt.Fprintf(w, "%d,%s,%s,%s\n", t.Unix(), target, typ, strings.Join(data, ","))
}

// machineArtifacts lists what a build made. Programs look for the line "artifact", number, "id" to learn of an AMI.
func machineArtifacts(w io.Writer, label string, artifacts []build.Made) {
	machineLine(w, now(), label, "artifact-count", fmt.Sprint(len(artifacts)))
	for i, a := range artifacts {
		if len(a.IDs) > 0 {
			machineLine(w, now(), label, "artifact", fmt.Sprint(i), "id", hypervisor.JoinIDs(a.IDs))
		}
		machineLine(w, now(), label, "artifact", fmt.Sprint(i), "string", a.Text)
		machineLine(w, now(), label, "artifact", fmt.Sprint(i), "end")
	}
}
