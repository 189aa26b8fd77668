package web

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/boxregistry/sbom"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// fakeBoxes is a working registry in memory; err, when it is set, is what it answers.
type fakeBoxes struct {
	mu       sync.Mutex
	boxes    []boxregistry.Box
	deleted  []boxregistry.Box
	known    map[blob.Digest]boxfile.Summary
	packages map[blob.Digest][]sbom.Package
	signed   map[blob.Digest]string
	used     []boxregistry.Download
	asked    []string // what it was told to change, and by whom
	taken    []byte   // what was uploaded last
	err      error
}

func (f *fakeBoxes) sees(q boxregistry.Sight, n boxregistry.Name) bool {
	return q.All || slices.Contains(q.Orgs, strings.ToLower(n.Org()))
}

func (f *fakeBoxes) List(_ context.Context, q boxregistry.ListQuery) ([]boxregistry.Summary, int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []boxregistry.Summary
	for _, b := range f.boxes {
		s := summary(b)
		if !strings.Contains(b.Name.String()+" "+b.ShortDescription, q.Search) || b.Private && !f.sees(q.Seen, b.Name) ||
			q.Org != "" && q.Org != b.Name.Org() || q.Provider != "" && !slices.Contains(s.Providers, q.Provider) ||
			q.Architecture != "" && !slices.Contains(s.Architectures, q.Architecture) || q.ReleasedOnly && s.Newest.IsZero() {
			continue
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b boxregistry.Summary) int {
		switch q.Sort {
		case boxregistry.ByName:
			return cmp.Compare(a.Name.String(), b.Name.String())
		case boxregistry.BySize:
			return cmp.Compare(b.Stored, a.Stored)
		case boxregistry.ByDownloads:
			return cmp.Compare(b.Downloads, a.Downloads)
		}
		return b.Updated.Compare(a.Updated)
	})
	first := min(q.Offset, len(all))
	return all[first:min(first+q.Limit, len(all))], len(all), f.err
}

func summary(b boxregistry.Box) boxregistry.Summary {
	s := boxregistry.Summary{Name: b.Name, ShortDescription: b.ShortDescription, Private: b.Private, Updated: b.Updated, Downloads: b.Downloads}
	for _, r := range b.Releases {
		for _, file := range r.Files {
			s.Stored += file.Size
		}
	}
	if v := b.Visible(); len(v) > 0 {
		s.Newest, s.Providers = v[0].Version, providersOf(v[0])
		for _, file := range v[0].Files {
			s.Size += file.Size
			s.Architectures = with(s.Architectures, string(file.Architecture))
		}
		slices.Sort(s.Architectures)
	}
	return s
}

func (f *fakeBoxes) Hidden(_ context.Context, seen boxregistry.Sight) (names []boxregistry.Name, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.boxes {
		if b.Private && !seen.All && !slices.Contains(seen.Orgs, strings.ToLower(b.Name.Org())) {
			names = append(names, b.Name)
		}
	}
	return names, f.err
}

func (f *fakeBoxes) Facets(ctx context.Context, seen boxregistry.Sight) (boxregistry.Facets, error) {
	list, _, err := f.List(ctx, boxregistry.ListQuery{Seen: seen, Limit: 1000})
	var out boxregistry.Facets
	for _, s := range list {
		out.Orgs = with(out.Orgs, s.Name.Org())
		for _, p := range s.Providers {
			out.Providers = with(out.Providers, string(p))
		}
		for _, a := range s.Architectures {
			out.Architectures = with(out.Architectures, string(a))
		}
	}
	return out, err
}

func (f *fakeBoxes) Box(_ context.Context, name boxregistry.Name) (boxregistry.Box, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return boxregistry.Box{}, f.err
	}
	if b := f.find(name); b != nil {
		return *b, nil
	}
	return boxregistry.Box{}, fmt.Errorf("box %q: %w", name, boxregistry.ErrNotFound)
}

func (f *fakeBoxes) find(name boxregistry.Name) *boxregistry.Box {
	for i := range f.boxes {
		if f.boxes[i].Name == name {
			return &f.boxes[i]
		}
	}
	return nil
}

func (f *fakeBoxes) Downloads(_ context.Context, _ boxregistry.Name, v boxregistry.Version) (out []boxregistry.Download, err error) {
	for _, d := range f.used {
		if d.Version == v {
			out = append(out, d)
		}
	}
	return out, f.err
}

func (f *fakeBoxes) Trash(context.Context) ([]boxregistry.Box, error) { return f.deleted, f.err }

// note writes down what is asked, and by whom.
func (f *fakeBoxes) note(ctx context.Context, format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...)+" by "+auth.PrincipalFrom(ctx).Name)
	return f.err
}

func (f *fakeBoxes) did() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := strings.Join(f.asked, ", ")
	f.asked = nil
	return asked
}

func (f *fakeBoxes) CreateBox(ctx context.Context, b boxregistry.Box) error {
	return f.note(ctx, "create %s %q %q private=%t", b.Name, b.ShortDescription, b.Description, b.Private)
}

func (f *fakeBoxes) EditBox(ctx context.Context, name boxregistry.Name, edit func(*boxregistry.Box) error) error {
	b := f.find(name)
	if b == nil {
		return fmt.Errorf("change box %q: %w", name, boxregistry.ErrNotFound)
	}
	if err := edit(b); err != nil {
		return err
	}
	return f.note(ctx, "edit %s %q %q private=%t keep=%d/%s", name, b.ShortDescription, b.Description, b.Private, b.Retention.KeepLast, b.Retention.KeepNewer)
}

func (f *fakeBoxes) DeleteBox(ctx context.Context, name boxregistry.Name) error {
	return f.note(ctx, "delete %s", name)
}

func (f *fakeBoxes) RestoreBox(ctx context.Context, name boxregistry.Name) error {
	return f.note(ctx, "restore %s", name)
}

func (f *fakeBoxes) DescribeVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version, description string) error {
	return f.note(ctx, "describe %s %s %q", name, v, description)
}

func (f *fakeBoxes) Release(ctx context.Context, name boxregistry.Name, v boxregistry.Version, channels ...boxregistry.Channel) error {
	return f.note(ctx, "release %s %s %v", name, v, channels)
}

func (f *fakeBoxes) Revoke(ctx context.Context, name boxregistry.Name, v boxregistry.Version, why string) error {
	return f.note(ctx, "revoke %s %s %q", name, v, why)
}

func (f *fakeBoxes) Promote(ctx context.Context, name boxregistry.Name, v boxregistry.Version, c boxregistry.Channel) error {
	return f.note(ctx, "promote %s %s %s", name, v, c)
}

func (f *fakeBoxes) Demote(ctx context.Context, name boxregistry.Name, v boxregistry.Version, c boxregistry.Channel) error {
	return f.note(ctx, "demote %s %s %s", name, v, c)
}

func (f *fakeBoxes) Pin(ctx context.Context, name boxregistry.Name, v boxregistry.Version, pinned bool) error {
	return f.note(ctx, "pin %s %s %t", name, v, pinned)
}

func (f *fakeBoxes) DeleteVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error {
	return f.note(ctx, "delete %s %s", name, v)
}

func (f *fakeBoxes) RestoreVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error {
	return f.note(ctx, "restore %s %s", name, v)
}

// Check refuses what has been released.
func (f *fakeBoxes) Check(_ context.Context, p boxregistry.Publication) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.find(p.Box); b != nil {
		if r, ok := b.Release(p.Version); ok && r.State != boxregistry.Draft {
			return fmt.Errorf("cannot publish %s %s: %w: it is %s; publish under another number", p.Box, p.Version, boxregistry.ErrImmutable, r.State)
		}
	}
	return f.err
}

func (f *fakeBoxes) Upload(ctx context.Context, p boxregistry.Publication, size int64, body io.Reader) (boxregistry.File, error) {
	data, err := io.ReadAll(body)
	if err != nil {
		return boxregistry.File{}, err
	}
	f.mu.Lock()
	f.taken = data
	f.mu.Unlock()
	if !strings.HasPrefix(string(data), "box") {
		return boxregistry.File{}, fmt.Errorf("%w: metadata.json is missing", boxfile.ErrInvalid)
	}
	return p.File, f.note(ctx, "upload %s %s %s/%s of %d bytes, %d announced, sha256 %.4s, notes %q, replace=%t", p.Box, p.Version, p.File.Provider,
		p.File.Architecture, len(data), size, p.File.Declared.Hex, p.VersionDescription, p.Replace)
}

func (f *fakeBoxes) Contents(_ context.Context, d blob.Digest) (boxfile.Summary, error) {
	return lookUp(f.known, d)
}

func (f *fakeBoxes) Signatures(_ context.Context, d blob.Digest) (string, error) {
	return lookUp(f.signed, d)
}

// Packages is what is installed, as CycloneDX.
func (f *fakeBoxes) Packages(_ context.Context, d blob.Digest) (json.RawMessage, error) {
	list, err := lookUp(f.packages, d)
	if err != nil {
		return nil, err
	}
	return sbom.Encode(sbom.Inventory{System: sbom.System{ID: "debian", Version: "12"}, Packages: list})
}

func lookUp[V any](m map[blob.Digest]V, d blob.Digest) (V, error) {
	v, ok := m[d]
	if !ok {
		return v, fmt.Errorf("%s: %w", d, boxregistry.ErrNotFound)
	}
	return v, nil
}

// sample is a box with something of everything.
func sample() boxregistry.Box {
	tested, broken := file("libvirt", "amd64", 412_345_678), file("libvirt", "amd64", 412_000_000)
	tested.Smoke = boxregistry.Smoke{Passed: true, Detail: "logged in 21 s after power-on", At: noon.Add(-25 * time.Hour)}
	tested.Firmware, tested.VirtualSize, tested.UnpackedSize = "uefi", 21_474_836_480, 1_288_490_188
	tested.Provenance = []byte(sampleStatement)
	broken.Smoke = boxregistry.Smoke{Detail: "no SSH banner in 120 s", At: noon.Add(-time.Hour)}
	broken.Provenance = []byte(`{"build":"b5","template":"debian.pkr.hcl","source":"libvirt.debian","driver":"libvirt","media_url":"https://cd.example/debian.iso","media_sha256":"0badc0de"}`)
	trial := release("20261120.2.0", boxregistry.Released, file("libvirt", "amd64", 413_000_000))
	trial.Channels, trial.Description = []boxregistry.Channel{boxregistry.Candidate}, "Tries kernel 6.12."
	newest := release("20261120.1.0", boxregistry.Released, file("libvirt", "arm64", 398_000_000), tested, file("virtualbox", "amd64", 455_000_000), file("vmware_desktop", "amd64", 471_000_000))
	newest.Description, newest.Downloads, newest.LastUsed, newest.Pinned = sampleNotes, 1204, noon.Add(-2*time.Hour), true
	newest.Channels = []boxregistry.Channel{boxregistry.Candidate, boxregistry.Stable}
	gone := release("20261101.1.0", boxregistry.Released, file("libvirt", "amd64", 407_000_000))
	gone.Deleted = noon.Add(-3 * time.Hour)
	return boxregistry.Box{
		Name: must(boxregistry.ParseName("ops/debian12")), ShortDescription: "Debian 12, minimal, with our base role applied",
		Description: sampleText, Created: noon.Add(-90 * 24 * time.Hour), Updated: noon.Add(-25 * time.Hour), Downloads: 51_342,
		Releases: []boxregistry.Release{
			release("20261121.1.0", boxregistry.Draft, broken), trial, newest,
			release("20261113.1.0", boxregistry.Released, file("libvirt", "amd64", 409_000_000), file("virtualbox", "amd64", 451_000_000)),
			release("20261106.1.0", boxregistry.Revoked, file("libvirt", "amd64", 408_000_000)), gone,
		},
	}
}

const sampleText = "Rebuilt **every night** from the netinst image. Log in as `vagrant`; the root disk grows by itself.\n\n" +
	"## What is in it\n\n- `openssh-server` with both insecure keys of Vagrant\n- our *base role*, see [its page](https://wiki.example/base)\n- nothing else\n\n" +
	"```ruby\nconfig.vm.provider :libvirt do |v|\n  v.machine_virtual_size = 40\nend\n```\n\n> Machines of before 2025 need a new key.\n"

const sampleNotes = "Kernel 6.1.0-50, and the clock is right again.\n\n* fixes #812\n* drops `ntpdate`\n"

const sampleStatement = `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1","subject":[{"name":"ops/debian12/20261120.1.0/libvirt/amd64","digest":{"sha256":"81dca9fc4e1e3959e65f4853efc9870cfb7c393df09cabad0094ae564fab8026"}}],
"predicate":{"buildDefinition":{"externalParameters":{"template":"debian.pkr.hcl","source":"libvirt.debian"},"internalParameters":{"driver":"libvirt","hypervisor":"9.0.0","accelerator":"tcg"},
"resolvedDependencies":[{"name":"debian.pkr.hcl","digest":{"sha256":"5f2d4d6ce2c5ba7fb2b31ee7a24a6a0d3f0c0a1d45ee3eb3c5ed3c0f52b1f9aa"},"annotations":{"boxkiln_role":"template"}},
{"name":"scripts/base.sh","digest":{"sha256":"9b74c9897bac770ffc029102a200c5de2a8d1e6f8f2ab87a1d2c3e4f5a6b7c8d"},"annotations":{"boxkiln_role":"input"}},
{"name":"debian-12.8.0-amd64-netinst.iso","uri":"https://cdimage.debian.org/debian-cd/12.8.0/amd64/iso-cd/debian-12.8.0-amd64-netinst.iso","digest":{"sha256":"04396d12b0f377958a070c38a923c227832fa3b3e18ddc013936ecf492e9fbb3"},"annotations":{"boxkiln_role":"medium"}},
{"uri":"git+https://git.example/ops/images","digest":{"gitCommit":"1f0e3dad99908345f7439f8ffabdffc4a1b2c3d4"},"annotations":{"boxkiln_role":"source","boxkiln_modified":true}}]},
"runDetails":{"builder":{"id":"urn:boxkiln:x","version":{"boxkiln":"0.4.0"}},"metadata":{"invocationId":"b5","startedOn":"2026-11-19T10:58:00Z","finishedOn":"2026-11-19T11:01:33Z"}}}}`

// sampleBoxes is a registry with boxes of several kinds, and what is known of the files of sample.
func sampleBoxes() *fakeBoxes {
	named := func(name, short string, releases ...boxregistry.Release) boxregistry.Box {
		return boxregistry.Box{Name: must(boxregistry.ParseName(name)), ShortDescription: short, Updated: noon.Add(-50 * time.Hour), Releases: releases}
	}
	box := sample()
	f := &fakeBoxes{boxes: []boxregistry.Box{box,
		named("ops/rocky9", "Rocky Linux 9 for the build farm", release("9.4.1", boxregistry.Released, file("libvirt", "amd64", 780_000_000))),
		named("lab/windows-2022", "", release("1.0.0-rc1", boxregistry.Draft)),
		named("lab/alpine", "Smallest guest that boots", release("3.20.3", boxregistry.Released, file("libvirt", "amd64", 61_200_000), file("virtualbox", "amd64", 66_000_000))),
		named("lab/empty", "Nothing in it yet"),
		named("ops/payroll", "The machine that must not be lost", release("2.1", boxregistry.Released, file("libvirt", "amd64", 980_000_000))),
	}, known: map[blob.Digest]boxfile.Summary{}, packages: map[blob.Digest][]sbom.Package{}, signed: map[blob.Digest]string{}}
	f.boxes[5].Private = true
	f.deleted = []boxregistry.Box{{Name: must(boxregistry.ParseName("ops/centos7")), ShortDescription: "End of life", Private: true, Deleted: noon.Add(-26 * time.Hour)}}
	newest, older := box.Releases[2], box.Releases[3]
	tested := newest.Files[1].Digest
	f.known[tested] = boxfile.Summary{Compression: "gzip", Unpacked: 1_288_490_188, VirtualSize: 21_474_836_480,
		Vagrantfile: "Vagrant.configure(\"2\") do |config|\n  config.vm.provider :libvirt do |v|\n    v.driver = \"kvm\"\n  end\nend\n",
		Info:        map[string]string{"Author": "ops", "Website": "https://wiki.example/images"},
		Files:       []boxfile.Entry{{Name: "metadata.json", Size: 89}, {Name: "Vagrantfile", Size: 512}, {Name: "info.json", Size: 70}, {Name: "box.img", Size: 1_288_489_517}},
		Warnings:    []string{"the disk is 21 GB, and vagrant-libvirt can only make it larger"}}
	f.signed[tested] = "untrusted comment: signature\n"
	f.packages[tested], f.packages[older.Files[0].Digest] = samplePackages("u12", "6.1.0-50"), samplePackages("u11", "6.1.0-49")
	f.packages[newest.Files[2].Digest] = append(samplePackages("u12", "6.1.0-50"), sbom.Package{Name: "virtualbox-guest-utils", Version: "7.0.6", Arch: "amd64", Type: sbom.Deb})
	f.used = []boxregistry.Download{
		{Box: box.Name, Version: newest.Version, Provider: "libvirt", Architecture: "amd64", Client: "ci-runner", Count: 1102, At: noon.Add(-2 * time.Hour)},
		{Box: box.Name, Version: newest.Version, Provider: "virtualbox", Architecture: "amd64", Client: "192.0.2.17", Count: 3, At: noon.Add(-50 * time.Hour)}}
	return f
}

// samplePackages is what is installed at one state of a distribution.
func samplePackages(update, kernel string) []sbom.Package {
	list := []sbom.Package{{Name: "linux-image-" + kernel + "-amd64", Version: kernel, Arch: "amd64", Type: sbom.Deb}, {Name: "adduser", Version: "3.134", Arch: "all", Type: sbom.Deb}}
	for _, name := range strings.Fields("base-files bash libc6 libssl3 openssl openssh-server openssh-client systemd udev sudo tzdata libpam0g libexpat1 libgnutls30 curl libcurl4 " +
		"perl-base python3.11 python3.11-minimal libpython3.11 vim-tiny vim-common less login passwd mount util-linux libblkid1 libmount1 libuuid1") {
		list = append(list, sbom.Package{Name: name, Version: "1.2.3-4+deb12" + update, Arch: "amd64", Type: sbom.Deb})
	}
	if update == "u11" {
		return append(list, sbom.Package{Name: "ntpdate", Version: "4.2.8", Arch: "amd64", Type: sbom.Deb})
	}
	return append(list, sbom.Package{Name: "chrony", Version: "4.3-2", Arch: "amd64", Type: sbom.Deb})
}
