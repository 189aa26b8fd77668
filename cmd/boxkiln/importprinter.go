package main

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/term"

	"github.com/boxkiln/boxkiln/boxregistry/upstream"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// importPrinter shows an import: lines for what has happened, bars for what is on its way, on a terminal.
type importPrinter struct {
	env  *environment
	out  io.Writer
	bars *bars // nil without a terminal
	json bool
}

func newImportPrinter(env *environment, asJSON bool) *importPrinter {
	p := &importPrinter{env: env, out: env.stdout, json: asJSON}
	if !asJSON && term.IsTerminal(int(env.stdout.Fd())) {
		p.bars = newBars(env.stdout)
		p.out = p.bars
	}
	return p
}

func (p *importPrinter) close() {
	if p.bars != nil {
		p.bars.close()
	}
}

// event shows one event. What was passed over is shown at the end.
func (p *importPrinter) event(e wire.ImportEvent) error {
	if p.json {
		return printEvent(p.env, e)
	}
	switch e.Kind {
	case upstream.EventProgress:
		if p.bars != nil {
			p.bars.progress(build.Event{Label: e.What, Text: "fetching", Done: e.Done, Total: e.Total})
		}
		return nil
	case upstream.EventMessage:
		return p.line("%s%s", prefixed(e.What), e.Text)
	case upstream.EventPlan:
		return p.line("%s:%s", e.What, e.Text)
	case upstream.EventImported:
		if p.bars != nil {
			p.bars.progress(build.Event{Label: e.What, Text: "fetching", Done: e.Done, Total: e.Done})
		}
		return p.line("%s: here, %s", e.What, sizeFlag(e.Done))
	case upstream.EventReleased:
		return p.line("%s: released", e.What)
	}
	return nil
}

func prefixed(what string) string {
	if what == "" {
		return ""
	}
	return what + ": "
}

// line prints what may hold texts of a stranger's server.
func (p *importPrinter) line(format string, args ...any) error {
	_, err := fmt.Fprintf(p.out, "==> %s\n", harmless(fmt.Sprintf(format, args...), false))
	return err
}

// end prints the summary, and says how the command ends.
func (p *importPrinter) end(i wire.Import, dry bool) error {
	p.close()
	p.bars, p.out = nil, p.env.stdout
	if i.Summary != nil && !p.json {
		if err := p.summary(*i.Summary, dry); err != nil {
			return err
		}
	}
	switch {
	case i.State != wire.ImportDone:
		return errors.New(harmless(i.Error, false))
	case i.Summary != nil && len(i.Summary.Drafts) > 0:
		return fmt.Errorf("%d versions stay drafts because not all their files could be had; run it again to go on", len(i.Summary.Drafts))
	case i.Summary != nil && i.Summary.Files+i.Summary.Here == 0:
		return errors.New("nothing was imported")
	}
	return nil
}

func (p *importPrinter) summary(s upstream.Summary, dry bool) error {
	verb := "came"
	if dry {
		verb = "would come"
	}
	fmt.Fprintf(p.out, "\n%d files %s (%s), %d were here already, %d versions released\n", s.Files, verb, sizeFlag(s.Bytes), s.Here, len(s.Released))
	for _, d := range s.Drafts {
		fmt.Fprintf(p.out, "  stays a draft: %s\n", d)
	}
	if len(s.Skipped) > 0 {
		fmt.Fprintf(p.out, "%d things were passed over:\n", len(s.Skipped))
	}
	var err error
	for _, text := range s.Skipped {
		_, err = fmt.Fprintf(p.out, "  %s\n", harmless(text, false))
	}
	return err
}
