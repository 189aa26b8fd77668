package main

import (
	"crypto/sha256"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/store"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// named writes the template of scripted under another name, with results of its own.
func (b *bench) named(name string, args map[string]string, scripts ...string) string {
	b.t.Helper()
	template := b.scripted(args, scripts...)
	text, err := os.ReadFile(template)
	if err != nil {
		b.t.Fatal(err)
	}
	own := strings.NewReplacer(literal(b.path("out")), literal(b.path(name)), literal(b.path("solo.box")), literal(b.path(name+".box")))
	return b.write(name+".pkr.hcl", own.Replace(string(text)))
}

// gated is a script that says what it is and waits at a barrier of that name.
func (b *bench) gated(name string) string {
	b.t.Helper()
	return b.write(name+".sh", "#!/bin/sh\necho "+name+" is here\nread line < "+b.barrier(name+".gate")+"\n")
}

// open lets a gated script go on.
func (b *bench) open(name string) { b.t.Helper(); b.lift(b.path(name + ".gate")) }

// row is a checkpoint as the database has it.
type row struct{ id, state, stage, kind string }

// rows lists what the store knows, oldest first.
func (b *bench) rows() []row {
	b.t.Helper()
	db, err := sqlitedb.Open(b.t.Context(), filepath.Join(b.data, "boxkiln.db"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	found, err := db.R.QueryContext(b.t.Context(), `SELECT id, state, stage, coalesce(nullif(meta, '') ->> 'kind', '') FROM checkpoints ORDER BY seq`)
	if err != nil {
		b.t.Fatal(err)
	}
	defer found.Close()
	var list []row
	for found.Next() {
		var r row
		if err := found.Scan(&r.id, &r.state, &r.stage, &r.kind); err != nil {
			b.t.Fatal(err)
		}
		list = append(list, r)
	}
	if err := found.Err(); err != nil {
		b.t.Fatal(err)
	}
	return list
}

// stagesKept lists the stages that can be taken from the store, oldest first.
func (b *bench) stagesKept() []string {
	b.t.Helper()
	var names []string
	for _, r := range b.rows() {
		if r.state == "whole" {
			names = append(names, r.stage)
		}
	}
	return names
}

// keptAs returns the directory of the newest checkpoint of a stage.
func (b *bench) keptAs(stage string) string {
	b.t.Helper()
	b.written()
	rows := b.rows()
	i := slices.IndexFunc(rows, func(r row) bool { return r.stage == stage && r.state == "whole" })
	if i < 0 {
		b.t.Fatalf("no checkpoint of %s among %v", stage, rows)
	}
	return filepath.Join(b.data, "checkpoints", rows[i].id)
}

// awaitKept returns when a stage can be taken from the store: checkpoints are written while a build goes on.
func (b *bench) awaitKept(stage string) {
	b.t.Helper()
	b.awaitRows("no checkpoint of "+stage+" came", func([]row) bool { return slices.Contains(b.stagesKept(), stage) })
}

// written returns when no checkpoint is being written: that goes on after the end of a build.
func (b *bench) written() {
	b.t.Helper()
	b.awaitRows("checkpoints are still being written", func(rows []row) bool {
		return !slices.ContainsFunc(rows, func(r row) bool { return r.state == "draft" })
	})
}

func (b *bench) awaitRows(otherwise string, done func([]row) bool) {
	b.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done(b.rows()) {
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("%s: %v", otherwise, b.rows())
		}
	}
}

// nothingHeld is nothingLeft, and fails too if something of a checkpoint is held, half or unknown.
func (b *bench) nothingHeld() {
	b.t.Helper()
	b.nothingLeft()
	db, err := sqlitedb.Open(b.t.Context(), filepath.Join(b.data, "boxkiln.db"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	var leases int
	if err := db.R.QueryRowContext(b.t.Context(), "SELECT count(*) FROM checkpoint_leases").Scan(&leases); err != nil || leases != 0 {
		b.t.Errorf("%d leases are left (%v)", leases, err)
	}
	var known []string
	for _, r := range b.rows() {
		if r.state != "whole" && r.state != "layer" {
			b.t.Errorf("a checkpoint is left that is neither whole nor a layer: %+v", r)
		}
		known = append(known, r.id)
	}
	entries, err := os.ReadDir(filepath.Join(b.data, "checkpoints"))
	if err != nil {
		b.t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		found = append(found, e.Name())
	}
	slices.Sort(known)
	if !slices.Equal(known, found) {
		b.t.Errorf("the directories are %v, and the store knows %v", found, known)
	}
}

// sums are the digests of all files below a folder.
func (b *bench) sums(dir string) map[string][sha256.Size]byte {
	b.t.Helper()
	all := map[string][sha256.Size]byte{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = sha256.Sum256(data)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// awaitFiles returns when that many files match a pattern.
func (b *bench) awaitFiles(pattern string, n int) {
	b.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(b.glob(pattern)) < n {
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("%d files %s did not come", n, pattern)
		}
	}
}

// client speaks to the daemon of the bench.
func (b *bench) client() *client.Client {
	b.t.Helper()
	c := client.Socket(filepath.Join(b.data, "daemon.sock"))
	b.t.Cleanup(c.Close)
	return c
}

// submit queues the build of a template that nobody watches.
func (b *bench) submit(c *client.Client, template string, change func(*build.Plan)) build.ID {
	b.t.Helper()
	plans := []build.Plan{b.plan(template)}
	if change != nil {
		change(&plans[0])
	}
	if err := readInputs(plans, fakeParts()); err != nil {
		b.t.Fatal(err)
	}
	records, err := c.Submit(b.t.Context(), wire.SubmitRequest{Plans: plans})
	if err != nil {
		b.t.Fatal(err)
	}
	return records[0].ID
}

// install is the identity of the data directory, with which its machines are marked.
func (b *bench) install() string {
	b.t.Helper()
	db, err := sqlitedb.Open(b.t.Context(), filepath.Join(b.data, "boxkiln.db"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	st, err := store.Open(b.t.Context(), db, time.Now)
	if err != nil {
		b.t.Fatal(err)
	}
	id, err := st.InstallID(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// glob lists the files that match a pattern.
func (b *bench) glob(pattern string) []string {
	b.t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}
