package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

func newBoxFsckCommand(env *environment) *cobra.Command {
	var req wire.FsckRequest
	var rate sizeFlag
	var asJSON bool
	cmd := &cobra.Command{
		Use: "fsck", Short: "Read every file of every box and compare it with its sha256", Args: cobra.NoArgs,
		Long: `Let the daemon read every file of every box and compare it with its sha256. It goes on serving meanwhile; --rate keeps
the check from taking the whole disk. What is found is printed, one line each:

  missing       versions name a file that is not stored; upload the same file again
  damaged       its bytes are not those that were uploaded; with --repair it is put into quarantine, and is missing then
  unreadable    the disk or the bucket could not read it
  unreferenced  no version names it, which is no fault: it is removed when its grace is over` + exitHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req.Rate = int64(rate)
			return env.withDaemon(cmd.Context(), func(c *client.Client) error { return env.fsck(cmd.Context(), c, req, asJSON) })
		},
	}
	f := cmd.Flags()
	f.BoolVar(&req.Repair, "repair", false, "put damaged files into quarantine, where they are kept and not served")
	f.Var(&rate, "rate", "how much is read in a second at most, such as 50M")
	f.BoolVar(&asJSON, "json", false, "print an object for each event, one on a line")
	return cmd
}

// fsck shows a check while it runs. It fails, without more words, when a file is not whole.
func (e *environment) fsck(ctx context.Context, c *client.Client, req wire.FsckRequest, asJSON bool) error {
	p := &fsckPrinter{out: e.stdout, json: asJSON}
	if !asJSON && isTerminal(e.stdout) {
		p.meter = newMeter(e.stdout, "reading")
		p.out = p.meter
	}
	err := c.Fsck(ctx, req, p.event)
	p.meter.close()
	if err != nil {
		return err
	}
	if p.report == nil || asJSON {
		return fsckExit(p.report)
	}
	fmt.Fprintln(e.stdout, fsckSummary(*p.report))
	return fsckExit(p.report)
}

func fsckExit(r *wire.FsckReport) error {
	if r != nil && !r.Healthy() {
		return silentError{exitFailed}
	}
	return nil
}

// fsckPrinter prints what a check tells.
type fsckPrinter struct {
	out    io.Writer
	json   bool
	meter  *meter // nil without a terminal
	report *wire.FsckReport
}

func (p *fsckPrinter) event(e wire.FsckEvent) error {
	p.report = e.Report
	if p.json {
		return json.NewEncoder(p.out).Encode(e)
	}
	p.meter.set(e.Done, e.Total)
	if e.Finding == nil {
		return nil
	}
	_, err := fmt.Fprintln(p.out, fsckLine(*e.Finding))
	return err
}

func fsckLine(f wire.FsckFinding) string {
	line := fmt.Sprintf("%-12s  %.12s  %10s", f.Kind, f.Digest, sizeFlag(f.Size))
	if len(f.Files) > 0 {
		line += "  " + strings.Join(f.Files, ", ")
	}
	line += ": " + f.Detail
	if f.Quarantined {
		line += "; put into quarantine"
	}
	return line
}

func fsckSummary(r wire.FsckReport) string {
	text := fmt.Sprintf("%d blobs, %s read", r.Blobs, sizeFlag(r.Bytes))
	if len(r.Counts) == 0 {
		return text + ": all whole"
	}
	for _, kind := range []string{"missing", "damaged", "unreadable", "unreferenced"} {
		if n := r.Counts[kind]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, kind)
		}
	}
	return text
}

// meter is one progress bar of bytes; lines written to it appear above. A nil one shows nothing.
type meter struct {
	all *mpb.Progress
	bar *mpb.Bar
}

func newMeter(terminal *os.File, what string) *meter {
	all := mpb.New(mpb.WithOutput(terminal), mpb.WithWidth(64))
	bar := all.AddBar(0, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Name(what+" ")), mpb.AppendDecorators(
		decor.CountersKibiByte("% .1f / % .1f"), decor.Name(" "), decor.AverageSpeed(decor.SizeB1024(0), "% .1f"), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)))
	return &meter{all, bar}
}

// Write prints above the bar.
func (m *meter) Write(p []byte) (int, error) { return m.all.Write(p) }

func (m *meter) set(done, total int64) {
	if m == nil {
		return
	}
	m.bar.SetTotal(total, false)
	m.bar.SetCurrent(done)
}

// close takes the bar away and waits until the terminal is in order.
func (m *meter) close() {
	if m == nil {
		return
	}
	m.bar.Abort(true)
	m.all.Wait()
}
