packer {
  required_version = ">= 1.6.0"

  required_plugins {
    qemu = {
      version = ">= 1.0.0"
      source  = "github.com/hashicorp/qemu"
    }
  }
}

variable "version" {
  type        = string
  description = "Release of Debian."
  default     = "11.0.0"

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", var.version))
    error_message = "The version looks like 11.0.0."
  }
}

variable "headless" {
  type    = bool
  default = true
}

variable "password" {
  type      = string
  default   = "vagrant"
  sensitive = true
}

variable "packages" {
  type    = list(string)
  default = ["curl", "nginx"]
}

locals {
  mirror    = "https://cdimage.debian.org/cdimage/archive/${var.version}/amd64/iso-cd"
  iso       = "debian-${var.version}-amd64-netinst.iso"
  stamp     = formatdate("YYYYMMDD", timestamp())
  artifacts = "output"

  boot_command = [
    "<esc><wait>",
    "auto url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/preseed.cfg ",
    "netcfg/get_hostname=debian netcfg/get_domain= <enter>",
  ]
}

source "qemu" "debian" {
  iso_url          = "${local.mirror}/${local.iso}"
  iso_checksum     = "file:${local.mirror}/SHA256SUMS"
  http_directory   = "${path.root}/http"
  boot_wait        = "5s"
  boot_command     = local.boot_command
  accelerator      = "kvm"
  cpus             = 2
  memory           = 1024
  disk_size        = "10G"
  disk_interface   = "virtio"
  net_device       = "virtio-net"
  format           = "qcow2"
  headless         = var.headless
  ssh_username     = "vagrant"
  ssh_password     = var.password
  ssh_timeout      = "30m"
  shutdown_command = "echo '${var.password}' | sudo -S shutdown -P now"
  output_directory = "${local.artifacts}/qemu"
  vm_name          = "debian-${var.version}"
}

source "virtualbox-iso" "debian" {
  guest_os_type        = "Debian_64"
  iso_url              = "${local.mirror}/${local.iso}"
  iso_checksum         = "file:${local.mirror}/SHA256SUMS"
  http_directory       = "${path.root}/http"
  boot_wait            = "5s"
  boot_command         = local.boot_command
  cpus                 = 2
  memory               = 1024
  disk_size            = 10240
  hard_drive_interface = "sata"
  gfx_controller       = "vmsvga"
  gfx_vram_size        = 16
  guest_additions_mode = "disable"
  headless             = var.headless
  ssh_username         = "vagrant"
  ssh_password         = var.password
  ssh_timeout          = "30m"
  shutdown_command     = "echo '${var.password}' | sudo -S shutdown -P now"
  output_directory     = "${local.artifacts}/virtualbox"
}

build {
  name = "debian"

  sources = ["source.virtualbox-iso.debian"]

  source "source.qemu.debian" {
    name             = "web"
    memory           = 2048
    output_directory = "${local.artifacts}/qemu-web"
  }

  provisioner "shell" {
    execute_command  = "echo '${var.password}' | {{ .Vars }} sudo -S -E sh -eux '{{ .Path }}'"
    environment_vars = ["PACKAGES=${join(" ", var.packages)}", "STAMP=${local.stamp}"]
    scripts          = ["${path.root}/scripts/packages.sh", "${path.root}/scripts/vagrant.sh"]
  }

  dynamic "provisioner" {
    labels   = ["shell"]
    for_each = toset(var.packages)

    content {
      inline = ["dpkg-query -W ${provisioner.value}"]
    }
  }

  provisioner "shell" {
    only   = ["virtualbox-iso.debian"]
    inline = ["lsmod | grep -q vboxguest || true"]
  }

  error-cleanup-provisioner "shell" {
    inline = ["journalctl -b --no-pager | tail -n 50"]
  }

  post-processors {
    post-processor "vagrant" {
      output            = "${local.artifacts}/debian-${var.version}-{{ .Provider }}.box"
      compression_level = 9
    }

    post-processor "manifest" {
      output     = "${local.artifacts}/manifest.json"
      strip_path = true
    }
  }
}
