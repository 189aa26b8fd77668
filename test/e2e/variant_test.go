package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// variant is a copy of a template that a test changes. The stages before a change keep their fingerprints.
type variant struct {
	k   *kiln
	dir string
	out string // name of the folder for outputs, which are part of an artifact's fingerprint
}

// vary copies the folder of a template.
func (k *kiln) vary(name, from, out string) variant {
	k.t.Helper()
	v := variant{k, k.path(name), out}
	if err := os.CopyFS(v.dir, os.DirFS(from)); err != nil {
		k.t.Fatal(err)
	}
	return v
}

// change rewrites a file of the template; a * stands for a part of its name.
func (v variant) change(pattern string, edit func(string) string) {
	v.k.t.Helper()
	found, err := filepath.Glob(filepath.Join(v.dir, pattern))
	if err != nil || len(found) != 1 {
		v.k.t.Fatalf("%s names %v (%v)", pattern, found, err)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		v.k.t.Fatal(err)
	}
	text := edit(string(data))
	if text == string(data) {
		v.k.t.Fatalf("%s did not change", found[0])
	}
	if err := os.WriteFile(found[0], []byte(text), 0o644); err != nil {
		v.k.t.Fatal(err)
	}
}

// extend appends a line to a script.
func (v variant) extend(script, line string) {
	v.k.t.Helper()
	v.change(script, func(text string) string { return text + line + "\n" })
}

// then appends provisioners to the template.
func (v variant) then(blocks string) {
	v.k.t.Helper()
	v.change("*.pkr.hcl", func(text string) string {
		return strings.Replace(text, "  post-processor ", blocks+"\n  post-processor ", 1)
	})
}

// build starts a build of the template, which puts its outputs into a folder of that name, whatever is there.
func (v variant) build(out string, more ...string) *program {
	v.k.t.Helper()
	return v.k.buildInstaller(v.dir, out, append(more, "-force")...)
}

// made builds to a good end and returns the build's log.
func (v variant) made() history {
	v.k.t.Helper()
	v.build(v.out).succeed()
	return v.k.history(v.k.newest())
}

// buildInstaller starts a build of a template that boots the installer CD.
func (k *kiln) buildInstaller(template, out string, more ...string) *program {
	k.t.Helper()
	iso := installer(k.t)
	args := []string{"-var", "iso_url=" + iso, "-var", "iso_checksum=file:" + iso + ".sha256", "-var", "output_directory=" + k.path(out)}
	return k.build(append(append(args, more...), template)...)
}

// newest is the id of the build that was queued last.
func (k *kiln) newest() string { return k.newestOf("") }

// newestOf is the id of the build of a template that was queued last.
func (k *kiln) newestOf(template string) string {
	k.t.Helper()
	all := k.builds()
	i := slices.IndexFunc(all, func(r record) bool { return template == "" || r.Template == template })
	if i < 0 {
		k.t.Fatalf("there is no build of %q among %+v", template, all)
	}
	return all[i].ID
}

// verb runs a verb of the command over the data directory to its good end.
func (k *kiln) verb(args ...string) string {
	k.t.Helper()
	return launch(k.t, longest, []string{"BOXKILN_DATA=" + k.data}, command(k.t), args...).succeed()
}

// resume starts a new attempt of a build.
func (k *kiln) resume(id string) *program {
	k.t.Helper()
	return launch(k.t, longest, []string{"BOXKILN_DATA=" + k.data}, command(k.t), "resume", "-color=false", id)
}
