packer {
  required_version = ">= 1.7.0"
  required_plugins {
    qemu = {
      version = ">= 1.0.8"
      source  = "github.com/hashicorp/qemu"
    }
    windows-update = {
      version = ">= 0.14.1"
      source  = "github.com/rgl/windows-update"
    }
  }
}

locals {
  scripts = var.scripts == null ? (
    var.is_windows ? [
      "${path.root}/scripts/windows/provision.ps1",
      ] : concat(
      ["${path.root}/scripts/${var.os_name}/update_${var.os_name}.sh"],
      [for s in ["motd", "sshd", "vagrant"] : "${path.root}/scripts/_common/${s}.sh"],
    )
  ) : var.scripts
  source_names = [for source in var.sources_enabled : trimprefix(source, "source.")]
}

build {
  sources = var.sources_enabled

  # Linux shell scripts
  provisioner "shell" {
    environment_vars = [
      "HOME_DIR=/home/vagrant",
      "http_proxy=${var.http_proxy}",
    ]
    execute_command = "echo 'vagrant' | {{ .Vars }} sudo -S -E sh -eux '{{ .Path }}'"
    pause_before    = "10s"
    pause_after     = "30s"
    scripts         = local.scripts
    except          = var.is_windows ? local.source_names : null
  }

  # Windows updates and scripts
  provisioner "windows-update" {
    search_criteria = "IsInstalled=0"
    except          = var.is_windows ? null : local.source_names
  }

  # Convert machines to vagrant boxes
  post-processor "vagrant" {
    compression_level = 9
    output            = "${path.root}/../builds/${var.os_name}-${var.os_version}-${var.os_arch}.{{ .Provider }}.box"
  }
}
