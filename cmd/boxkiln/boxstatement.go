package main

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/provenance"
)

// printStatement shows what a box was built from.
func printStatement(out io.Writer, r provenance.Report) error {
	s := r.Statement
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	d, run := s.Predicate.BuildDefinition, s.Predicate.RunDetails
	fmt.Fprintln(out, "Built")
	row("from", "%s, source %s", d.External.Template, d.External.Source)
	row("by", "boxkiln %s, build %s", run.Builder.Version.Boxkiln, run.Metadata.InvocationID)
	if of := run.Metadata.ArtifactOf; of != "" {
		row("unchanged from", "build %s", of)
	}
	if took := run.Metadata.FinishedOn.Sub(run.Metadata.StartedOn); !run.Metadata.StartedOn.IsZero() {
		row("at", "%s, in %s", run.Metadata.FinishedOn.Format(time.RFC3339), took)
	}
	row("under", "%s %s %s", d.Internal.Driver, d.Internal.Hypervisor, d.Internal.Accelerator)
	for _, dep := range d.Resolved {
		row(string(dep.Annotations.Role), "%s", describe(dep))
	}
	if smoke := run.Metadata.Smoke; smoke != nil {
		row("smoke test", "%s", smoke.Detail)
	}
	if r.Packages > 0 {
		row("packages", "%d", r.Packages)
	}
	return w.Flush()
}

// describe is a dependency in one line: where it is from, and its digest.
func describe(r provenance.Resource) string {
	digest := "no digest: it holds secret values"
	switch {
	case r.Digest.SHA256 != "":
		digest = "sha256 " + r.Digest.SHA256
	case r.Digest.GitCommit != "":
		digest = "commit " + r.Digest.GitCommit
		if r.Annotations.Modified {
			digest += ", modified"
		}
	}
	return cmp.Or(r.URI, r.Name) + "  " + digest
}
