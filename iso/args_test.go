package iso

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	type validator interface{ Validate() []error }
	for name, tc := range map[string]struct {
		args validator
		want []string // one part of each error, in order
	}{
		"good":            {MediaArgs{ISOURL: "http://h/x.iso", ISOChecksum: "none"}, nil},
		"good urls":       {MediaArgs{ISOURLs: []string{"x.iso", "file:///x.iso"}, ISOChecksum: "file:sums"}, nil},
		"a box":           {MediaArgs{ISOURL: "box://org/name?version=~>1.2"}, nil},
		"nothing":         {MediaArgs{}, []string{"iso_url is missing", "iso_checksum: missing"}},
		"both":            {MediaArgs{ISOURL: "a", ISOURLs: []string{"b"}, ISOChecksum: "none"}, []string{"iso_url and iso_urls"}},
		"bad scheme":      {MediaArgs{ISOURL: "smb://u:pw@h/x", ISOChecksum: "none"}, []string{`smb://h/x: scheme "smb"`}},
		"no host":         {MediaArgs{ISOURL: "http:///x", ISOChecksum: "none"}, []string{"host is missing"}},
		"bad URL":         {MediaArgs{ISOURL: "http://u:pw%@h/x", ISOChecksum: "none"}, []string{"not a valid URL"}},
		"bad checksum":    {MediaArgs{ISOURL: "x", ISOChecksum: "12"}, []string{"iso_checksum: "}},
		"bad extension":   {MediaArgs{ISOURL: "x", ISOChecksum: "none", ISOTargetExtension: "a/b"}, []string{"iso_target_extension"}},
		"cd":              {CDArgs{Files: []string{"a/*"}, Content: map[string]string{"/a/b": ""}, Label: "cidata"}, nil},
		"cd bad":          {CDArgs{Files: []string{"a/[", ""}, Content: map[string]string{"../x": "", "/": ""}, Label: "é"}, []string{"cd_files: bad glob", "cd_files: an empty", "cd_content", "cd_content", "cd_label"}},
		"cd long label":   {CDArgs{Label: strings.Repeat("x", 33)}, []string{"33 characters"}},
		"floppy":          {FloppyArgs{Files: []string{"a"}, Label: "OEMDRV"}, nil},
		"floppy bad":      {FloppyArgs{Files: []string{"["}, Dirs: []string{"["}, Content: map[string]string{"a/../b": ""}, Label: "a/b"}, []string{"floppy_files", "floppy_dirs", "floppy_content", "floppy_label"}},
		"floppy too long": {FloppyArgs{Label: "twelve chars"}, []string{"12 characters"}},
	} {
		errs := tc.args.Validate()
		if len(errs) != len(tc.want) {
			t.Errorf("%s: %v, want %q", name, errs, tc.want)
			continue
		}
		for i, want := range tc.want {
			if !strings.Contains(errs[i].Error(), want) {
				t.Errorf("%s: %v, want %q", name, errs[i], want)
			}
		}
		if all := errors.Join(errs...); all != nil && strings.Contains(all.Error(), "pw") {
			t.Errorf("%s shows a password: %v", name, all)
		}
	}
}

func TestMediaSource(t *testing.T) {
	t.Parallel()
	got := MediaArgs{ISOURL: "u", ISOChecksum: "c", ISOTargetPath: "p", ISOTargetExtension: "e"}.Source("/w")
	want := Source{URLs: []string{"u"}, Checksum: "c", TargetPath: "p", TargetExtension: "e", Cwd: "/w"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSeedWarnings(t *testing.T) {
	t.Parallel()
	cloud := []Entry{{Name: "user-data"}, {Name: "meta-data"}}
	for _, tc := range []struct {
		label   string
		entries []Entry
		want    int
	}{
		{"cidata", cloud, 0},
		{"CIDATA", cloud, 0},
		{"cidata", cloud[:1], 1},
		{"packer", cloud, 1},
		{"OEMDRV", []Entry{{Name: "ks.cfg"}}, 0},
		{"oemdrv", nil, 2},
		{"packer", nil, 0},
	} {
		if got := SeedWarnings(tc.label, tc.entries); len(got) != tc.want {
			t.Errorf("%s with %v: %q", tc.label, tc.entries, got)
		}
	}
}

func TestOldChecksumArguments(t *testing.T) {
	t.Parallel()
	const hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for name, tt := range map[string]struct {
		args MediaArgs
		want string
	}{
		"type and sum":     {MediaArgs{ISOChecksum: hex, ISOChecksumType: "sha256"}, "sha256:" + hex},
		"none":             {MediaArgs{ISOChecksumType: "none"}, "none"},
		"file":             {MediaArgs{ISOChecksumURL: "http://h/SHA256SUMS", ISOChecksumType: "sha256"}, "file:http://h/SHA256SUMS"},
		"new form with it": {MediaArgs{ISOChecksum: "sha256:" + hex, ISOChecksumType: "sha256"}, "sha256:" + hex},
		"new form":         {MediaArgs{ISOChecksum: hex}, hex},
	} {
		if got := tt.args.Source("/").Checksum; got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
