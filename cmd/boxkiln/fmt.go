package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/template"
)

// fmtOptions are the switches of packer fmt.
type fmtOptions struct{ check, diff, write, recursive bool }

func newFmtCommand(env *environment) *cobra.Command {
	o := &fmtOptions{}
	cmd := &cobra.Command{
		Use: "fmt [switches] [TEMPLATE|-]", Short: "Rewrite HCL templates in the standard style",
		Long: `Rewrite *.pkr.hcl and *.pkrvars.hcl files in the standard style and print the names of those that changed. With - as
name, standard input is written to standard output. -check changes nothing and exits 3 if something would change.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return runFmt(env, *o, append(args, ".")[0]) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.check, "check", false, "change nothing; exit 3 if something would change")
	f.BoolVar(&o.diff, "diff", false, "print the differences")
	f.BoolVar(&o.write, "write", true, "write the files")
	f.BoolVar(&o.recursive, "recursive", false, "go into subfolders")
	return cmd
}

// exitUnformatted is packer fmt -check's status for files that would change.
const exitUnformatted = 3

func runFmt(env *environment, o fmtOptions, path string) error {
	if path == "-" {
		return fmtStdin(env)
	}
	files, err := fmtFiles(path, o.recursive)
	if err != nil {
		return err
	}
	changed := false
	for _, file := range files {
		did, err := fmtFile(env, o, file)
		if err != nil {
			return err
		}
		changed = changed || did
	}
	if changed && o.check {
		return silentError{exitUnformatted}
	}
	return nil
}

func fmtStdin(env *environment) error {
	src, err := io.ReadAll(env.stdin)
	if err != nil {
		return err
	}
	out, err := template.Format("standard input", src)
	if err != nil {
		return err
	}
	_, err = env.stdout.Write(out)
	return err
}

// fmtFiles lists the HCL files at path, in the order in which they are found.
func fmtFiles(path string, recursive bool) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != path && (!recursive || strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case strings.HasSuffix(p, ".pkr.hcl"), strings.HasSuffix(p, ".pkrvars.hcl"):
			files = append(files, p)
		}
		return nil
	})
	return files, err
}

func fmtFile(env *environment, o fmtOptions, path string) (changed bool, err error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	out, err := template.Format(path, src)
	if err != nil {
		return false, err
	}
	if bytes.Equal(src, out) {
		return false, nil
	}
	if _, err := fmt.Fprintln(env.stdout, path); err != nil {
		return true, err
	}
	if o.diff {
		if err := showDiff(env, path, out); err != nil {
			return true, err
		}
	}
	if o.write && !o.check {
		info, err := os.Stat(path)
		if err != nil {
			return true, err
		}
		return true, fsx.WriteFile(path, out, info.Mode().Perm())
	}
	return true, nil
}

// showDiff prints what would change, by the diff that every system has.
func showDiff(env *environment, path string, out []byte) error {
	cmd := exec.Command("diff", "-u", "--label", "old/"+path, "--label", "new/"+path, path, "-")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(out), env.stdout, env.stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 { // they differ, which is known
		return nil
	}
	return err
}
