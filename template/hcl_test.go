package template_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/template"
)

const debian = `
packer {
  required_version = ">= 1.7.0, < 2.0.0"
  required_plugins {
    qemu = { version = "~> 1", source = "github.com/hashicorp/qemu" }
  }
}

variable "version" {
  type        = string
  default     = "12"
  description = "Debian's version."
}

variable "password" {
  type      = string
  default   = env("PASSWORD")
  sensitive = true
}

variable "cpus" {
  type    = number
  default = 2
  validation {
    condition     = var.cpus > 0 && var.cpus < 9
    error_message = "Between 1 and 8."
  }
}

variable "nics" {
  type    = list(object({ type = string, bridge = optional(string, "br0") }))
  default = [{ type = "user" }, { type = "bridge", bridge = "br1" }]
}

locals {
  name  = "debian-${local.short}"
  short = "${var.version}-${local.day}"
  day   = formatdate("YYYYMMDD", timestamp())
}

local "token" {
  expression = "tok-${var.password}"
  sensitive  = true
}

data "null" "dir" {
  input = "out-${var.version}"
}

source "qemu" "debian" {
  iso_url          = "file:///debian.iso"
  iso_checksum     = "none"
  boot_command     = ["<esc>auto url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/${source.name}.cfg {{ build_name }}<enter>"]
  boot_wait        = "5s"
  cpus             = "${var.cpus}"
  http_directory   = "${path.root}/http"
  http_content     = { "/x" = file("x.txt") }
  output_directory = data.null.dir.output
  vm_name          = "${local.name}-{{timestamp}}"
  shutdown_command = "echo '${var.password}' | sudo -S shutdown -P now"
  ssh_password     = var.password

  dynamic "network_interface" {
    for_each = var.nics
    content {
      type   = network_interface.value.type
      bridge = network_interface.value.bridge
    }
  }
}

build {
  name        = "base"
  description = "A base box."
  sources     = ["source.qemu.debian"]

  source "qemu.debian" {
    name   = "big"
    cpus   = 8
    memory = 4096
    network_interface { type = "extra" }
  }

  provisioner "shell" {
    name             = "first"
    inline           = ["echo ${source.type} ${source.name} ${build.ID} ${build.name} {{ .Vars }}"]
    environment_vars = ["HTTP=${build.PackerHTTPAddr}"]
    pause_before     = "10s"
    timeout          = "1h"
    max_retries      = 3
    override = {
      big = { inline = ["echo big"] }
    }
  }

  provisioner "file" {
    only        = ["qemu.big"]
    source      = "a"
    destination = "/b"
  }

  provisioner "windows-update" {
    except = ["qemu.debian", "qemu.big"]
  }

  error-cleanup-provisioner "shell" {
    inline = ["journalctl"]
  }

  post-processors {
    post-processor "vagrant" {
      output              = "{{.BuildName}}_{{.Provider}}.box"
      keep_input_artifact = true
    }
    post-processor "checksum" {
      name           = "sums"
      checksum_types = ["sha256"]
    }
  }
  post-processor "manifest" {
    except = ["qemu.big"]
  }
}
`

func debianOptions(t *testing.T) template.Options {
	o := folder(t, map[string]string{"t/debian.pkr.hcl": debian, "t/x.txt": "content"})
	o.Environ = []string{"PASSWORD=hunter2"}
	return o
}

func TestHCL(t *testing.T) {
	t.Parallel()
	tmpl, diags := mustLoad(t, "t", debianOptions(t))
	contains(t, diags, "required_plugins is not needed", "t/debian.pkr.hcl:4:3: note:")
	sources := tmpl.Sources()
	if len(sources) != 2 || sources[0].Label() != "base.qemu.debian" || sources[1].Label() != "base.qemu.big" || sources[1].Declared != "debian" {
		t.Fatalf("sources: %+v", sources)
	}
	want := map[string]any{
		"boot_command": []any{"<esc>auto url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/debian.cfg debian<enter>"}, "boot_wait": "5s", "cpus": 2.0,
		"http_content": map[string]any{"/x": "content"}, "http_directory": "t/http", "iso_checksum": "none", "iso_url": "file:///debian.iso",
		"network_interface": []any{map[string]any{"type": "user", "bridge": "br0"}, map[string]any{"type": "bridge", "bridge": "br1"}},
		"output_directory":  "out-12", "shutdown_command": "echo 'hunter2' | sudo -S shutdown -P now", "ssh_password": "hunter2",
		"vm_name": "debian-12-20260307-1772870950",
	}
	if diff := cmp.Diff(want, args(t, sources[0].Args)); diff != "" {
		t.Error(diff)
	}
	big := args(t, sources[1].Args)
	if big["cpus"] != 8.0 || big["memory"] != 4096.0 || len(big["network_interface"].([]any)) != 3 || !strings.Contains(big["boot_command"].([]any)[0].(string), "/big.cfg debian") {
		t.Errorf("big: %v", big)
	}
	if diff := cmp.Diff([]template.Use{{Arg: "vm_name", Function: "timestamp"}}, sources[0].Volatile); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"hunter2", "tok-hunter2"}, tmpl.Secrets); diff != "" {
		t.Error(diff)
	}
	if tmpl.Dir != sources0Dir(tmpl) || tmpl.Root != "t" || len(tmpl.Inputs) != 1 || len(tmpl.Files) != 1 || tmpl.Description != "A base box." {
		t.Errorf("%+v", tmpl)
	}
}

func sources0Dir(tmpl *template.Template) string { return strings.TrimSuffix(tmpl.Inputs[0], "/x.txt") }

func TestHCLProvisionersAndPostProcessors(t *testing.T) {
	t.Parallel()
	tmpl, _ := mustLoad(t, "t/debian.pkr.hcl", debianOptions(t))
	small, big := tmpl.Sources()[0], tmpl.Sources()[1]
	if len(small.Provisioners) != 1 || len(big.Provisioners) != 2 || big.Provisioners[1].Type != "file" {
		t.Fatalf("provisioners: %+v %+v", small.Provisioners, big.Provisioners)
	}
	p := small.Provisioners[0]
	want := map[string]any{
		"inline":           []any{"echo qemu debian {{ build `ID` }} base {{ .Vars }}"},
		"environment_vars": []any{"HTTP={{ build `PackerHTTPAddr` }}"},
	}
	if diff := cmp.Diff(want, args(t, p.Args)); diff != "" {
		t.Error(diff)
	}
	if p.Name != "first" || p.PauseBefore != 10*time.Second || p.Timeout != time.Hour || p.MaxRetries != 3 || p.Pos.Line == 0 {
		t.Errorf("%+v", p)
	}
	if got := args(t, big.Provisioners[0].Args)["inline"]; !cmp.Equal(got, []any{"echo big"}) {
		t.Errorf("override: %v", got)
	}
	if small.ErrorCleanup == nil || small.ErrorCleanup.Type != "shell" {
		t.Error("no error-cleanup-provisioner")
	}
	if len(small.PostProcessors) != 2 || len(big.PostProcessors) != 1 || len(small.PostProcessors[0]) != 2 {
		t.Fatalf("post-processors: %+v", small.PostProcessors)
	}
	if pp := small.PostProcessors[0][0]; pp.KeepInputArtifact == nil || !*pp.KeepInputArtifact || string(pp.Args) != `{"output":"{{.BuildName}}_{{.Provider}}.box"}` {
		t.Errorf("%+v %s", pp, pp.Args)
	}
	if small.Missing != "" {
		t.Errorf("missing: %s", small.Missing)
	}
}
