package main

import (
	"archive/tar"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// exportOptions is what export was asked.
type exportOptions struct {
	output   string
	manifest bool
	iso      bool
	noMACs   string // "", all, notnat
	ovf20    bool
	vsys     map[string]string
}

func exportVM(c *call, args []string) error {
	options := []option{
		{name: "--output", more: []string{"-o"}, value: true}, {name: "--legacy09"}, {name: "--ovf09"}, {name: "--ovf10"}, {name: "--ovf20"}, {name: "--opc10"},
		{name: "--manifest", more: []string{"-m"}}, {name: "--iso", more: []string{"-I"}}, {name: "--options", value: true}, {name: "--vsys", value: true},
	}
	properties := []string{"product", "producturl", "vendor", "vendorurl", "version", "description", "eula", "eulafile", "vmname"}
	for _, p := range properties {
		options = append(options, option{name: "--" + p, value: true})
	}
	rest, opts, err := c.parse(args, options)
	if err != nil {
		return err
	}
	o := exportOptions{vsys: map[string]string{}}
	for _, g := range opts {
		if err := o.set(g); err != nil {
			return err
		}
	}
	if o.output == "" {
		return syntax("Missing --output parameter.")
	}
	name, err := one(rest, "At least one machine must be specified with the export command.")
	if err != nil {
		return err
	}
	if ext := strings.ToLower(filepath.Ext(o.output)); ext != ".ovf" && ext != ".ova" {
		return complain("Appliance file must have .ovf or .ova extension")
	}
	if o.output, err = filepath.Abs(o.output); err != nil {
		return err
	}
	return c.export(name, o)
}

func (o *exportOptions) set(g given) error {
	switch g.name {
	case "--output":
		o.output = g.value
	case "--manifest":
		o.manifest = true
	case "--iso":
		o.iso = true
	case "--ovf20":
		o.ovf20 = true
	case "--legacy09", "--ovf09", "--opc10":
		return complain("the simulator does not write %s", strings.TrimPrefix(g.name, "--"))
	case "--options":
		for _, word := range strings.Split(g.value, ",") {
			switch word {
			case "manifest", "CreateManifest":
				o.manifest = true
			case "iso", "ExportDVDImages":
				o.iso = true
			case "nomacs", "StripAllMACs":
				o.noMACs = "all"
			case "nomacsbutnat", "StripAllNonNATMACs":
				o.noMACs = "notnat"
			default:
				return badArgument("Invalid export options '%s'", g.value)
			}
		}
	case "--vsys", "--ovf10":
		if g.name == "--vsys" && g.value != "0" {
			return syntax("Argument to --vsys option must be a non-negative number.")
		}
	case "--eulafile":
		text, err := os.ReadFile(g.value)
		if err != nil {
			return complain("Cannot read license file \"%s\" which should be included in the virtual system 0.", g.value)
		}
		o.vsys["eula"] = string(text)
	default:
		o.vsys[strings.TrimPrefix(g.name, "--")] = g.value
	}
	return nil
}

// export writes an appliance. The machine stays readable for others meanwhile.
func (c *call) export(name string, o exportOptions) error {
	d := &descriptor{c: c, o: o}
	err := c.look(func(s *state) error {
		m, status, err := c.findSession(s, name)
		if err != nil {
			return err
		}
		if status.Locked && !status.State.Alive() {
			return lockedForSession(m.Name, "VBoxManageAppliance.cpp:1740")
		}
		d.s, d.m = s, m
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.withProgress(d.produce); err != nil {
		return err
	}
	c.printf("Successfully exported 1 machine(s).\n")
	return nil
}

// produce makes the files; those of a failed export are deleted.
func (d *descriptor) produce() (err error) {
	if status, err := d.c.session(d.m); err != nil || status.State.Alive() {
		return errors.Join(err, &comError{code: badObjState, component: applianceWrap,
			text: fmt.Sprintf("Medium '%s' is locked for writing by another task", d.m.file("-disk001.vdi"))})
	}
	if _, err := os.Stat(d.o.output); err == nil {
		return &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf(
			"Appliance write failed\n%s: error: Failed to create or open file '%s' (VERR_ALREADY_EXISTS)", d.c.self, d.o.output)}
	}
	dir := filepath.Dir(d.o.output)
	if strings.EqualFold(filepath.Ext(d.o.output), ".ova") {
		if dir, err = os.MkdirTemp(dir, ".ova-"); err != nil {
			return cannotWrite(d.o.output, err)
		}
		defer os.RemoveAll(dir)
	}
	var made []string
	defer func() {
		if err != nil {
			for _, name := range made {
				os.Remove(filepath.Join(dir, name))
			}
		}
	}()
	base := baseName(d.o.output)
	made = append(made, base+".ovf")
	for _, f := range d.list(base) {
		made = append(made, f.name)
		if err := d.add(dir, f); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, made[0]), []byte(d.write()), 0o600); err != nil {
		return cannotWrite(d.o.output, err)
	}
	if d.o.manifest {
		if err := d.writeManifest(dir, base+".mf", made); err != nil {
			return err
		}
		made = append(made, base+".mf")
	}
	if dir != filepath.Dir(d.o.output) {
		return d.pack(dir, made)
	}
	return nil
}

func cannotWrite(path string, err error) error {
	return &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf("Could not create file '%s' (%v)", path, err)}
}

// list are the files to export: disks, then CDs if they are wanted, numbered together.
func (d *descriptor) list(base string) []exportedFile {
	var files []exportedFile
	for _, kind := range []string{"hdd", "dvddrive"} {
		for _, ctl := range d.m.Storage {
			for _, a := range ctl.Attached {
				if a.Type != kind || a.Medium == "" || kind == "dvddrive" && !d.o.iso {
					continue
				}
				suffix := map[string]string{"hdd": "vmdk", "dvddrive": "iso"}[kind]
				files = append(files, exportedFile{
					name: fmt.Sprintf("%s-disk%03d.%s", base, len(files)+1, suffix), uuid: newUUID(), iso: kind == "dvddrive", medium: a.Medium,
				})
			}
		}
	}
	return files
}

// add makes a file of the appliance.
func (d *descriptor) add(dir string, f exportedFile) error {
	from := d.s.findMedium(f.medium)
	if from == nil {
		return &comError{code: notFound, component: applianceWrap, text: fmt.Sprintf("Could not find an open hard disk with UUID {%s}", f.medium)}
	}
	path := filepath.Join(dir, f.name)
	if _, err := os.Stat(path); err == nil {
		return &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf("Could not create the exported medium '%s' (VERR_ALREADY_EXISTS)", f.name)}
	}
	f.capacity = from.Size
	if f.iso {
		d.files = append(d.files, f)
		return copyFile(path, from.Path)
	}
	to := &medium{Format: "VMDK", Path: path}
	if err := convert(from, to, "Stream"); err != nil {
		return err
	}
	d.files = append(d.files, f)
	return nil
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return newFile(to, in)
}

// newFile makes a file of what a reader gives; it must not be there.
func newFile(path string, r io.Reader) error {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, r); err != nil {
		return err
	}
	return out.Close()
}

// writeManifest names every file with its digest: SHA1, but SHA256 for OVF 2.0.
func (d *descriptor) writeManifest(dir, name string, files []string) error {
	algorithm, newHash := "SHA1", sha1.New
	if d.o.ovf20 {
		algorithm, newHash = "SHA256", func() hash.Hash { return sha256.New() }
	}
	var b strings.Builder
	for _, f := range files {
		sum, err := digest(newHash(), filepath.Join(dir, f))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s (%s) = %s\n", algorithm, f, sum)
	}
	return os.WriteFile(filepath.Join(dir, name), []byte(b.String()), 0o600)
}

func digest(h hash.Hash, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// pack makes the OVA: a ustar archive with descriptor, disks and manifest in this order.
func (d *descriptor) pack(dir string, files []string) error {
	out, err := os.OpenFile(d.o.output, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return cannotWrite(d.o.output, err)
	}
	defer out.Close()
	w := tar.NewWriter(out)
	for _, name := range files {
		if err := d.packFile(w, filepath.Join(dir, name)); err != nil {
			os.Remove(d.o.output)
			return cannotWrite(d.o.output, err)
		}
	}
	return errors.Join(w.Close(), out.Close())
}

func (d *descriptor) packFile(w *tar.Writer, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	err = w.WriteHeader(&tar.Header{
		Format: tar.FormatUSTAR, Name: filepath.Base(path), Size: info.Size(), Mode: 0o640, ModTime: time.Now(),
		Uname: "vboxovf10", Gname: "vbox_v" + d.c.profile.version,
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, in)
	return err
}

// baseName is the name of an appliance's files without a suffix.
func baseName(output string) string {
	return strings.TrimSuffix(filepath.Base(output), filepath.Ext(output))
}
