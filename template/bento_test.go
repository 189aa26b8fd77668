package template_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/template"
)

// TestBento loads a folder in the manner of chef/bento: one template for every system and hypervisor, most of it
// switched on and off by variables, kinds of sources and provisioners that are unknown here among it.
func TestBento(t *testing.T) {
	t.Parallel()
	dir, err := filepath.Abs("testdata/bento")
	if err != nil {
		t.Fatal(err)
	}
	o := template.Options{Dir: dir, Only: []string{"qemu.vm"}, VarFiles: []string{"os_pkrvars/debian/debian-12-x86_64.pkrvars.hcl"}, WarnUndeclared: true}
	tmpl, diags := mustLoad(t, "packer_templates", o)
	contains(t, diags, `debian-12-x86_64.pkrvars.hcl:6:1: warning: variable "parallels_guest_os_type" is not declared`)
	s := tmpl.Sources()[0]
	want := map[string]any{
		"boot_command": []any{"<wait><esc><wait>auto preseed/url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/debian/preseed.cfg<enter>"},
		"boot_wait":    "5s", "cpus": 2.0, "headless": true, "http_directory": "packer_templates/http", "memory": 2048.0,
		"iso_url":          "https://cdimage.debian.org/cdimage/archive/latest-bookworm/amd64/iso-cd/debian-12.10.0-amd64-netinst.iso",
		"iso_checksum":     "file:https://cdimage.debian.org/cdimage/archive/latest-bookworm/amd64/iso-cd/SHA256SUMS",
		"output_directory": "packer_templates/../builds/build_files/packer-debian-12.10-x86_64-qemu",
		"shutdown_command": "echo 'vagrant' | sudo -S /sbin/halt -h -p", "ssh_username": "vagrant", "ssh_password": "vagrant", "vm_name": "debian-12.10-amd64",
	}
	if diff := cmp.Diff(want, args(t, s.Args)); diff != "" {
		t.Error(diff)
	}
	if len(tmpl.Sources()) != 1 || len(s.Provisioners) != 1 || s.Provisioners[0].Type != "shell" || s.Missing != "" {
		t.Errorf("%+v", s)
	}
	if got := args(t, s.Provisioners[0].Args)["environment_vars"]; !cmp.Equal(got, []any{"HOME_DIR=/home/vagrant", "http_proxy="}) {
		t.Errorf("environment_vars: %v", got)
	}

	o.Only = nil
	_, diags = template.Load("packer_templates", parts(), o)
	contains(t, diags, `error: unknown source type "hyperv-iso"`)
	o.Vars = []string{"sources_enabled=[\"qemu.vm\"]", "is_windows=true"}
	_, diags = template.Load("packer_templates", parts(), o)
	contains(t, diags, `error: unknown provisioner type "windows-update"`)
}
