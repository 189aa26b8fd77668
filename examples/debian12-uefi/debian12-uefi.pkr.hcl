# Debian 12 for Vagrant under UEFI firmware: the same CD, seed and scripts as
# examples/debian12. From the repository root:
#
#   boxkiln build examples/debian12-uefi
#
# The efi_* arguments need the qemu plugin 1.0.6 or later under Packer.

variable "iso_url" {
  type    = string
  default = "build/iso/debian12-mini.iso"
}

variable "iso_checksum" {
  type    = string
  default = "file:build/iso/debian12-mini.iso.sha256"
}

variable "accelerator" {
  type    = string
  default = "tcg"
}

variable "output_directory" {
  type    = string
  default = "build/debian12-uefi"
}

source "qemu" "debian12-uefi" {
  iso_url      = var.iso_url
  iso_checksum = var.iso_checksum

  accelerator       = var.accelerator
  machine_type      = "q35"
  efi_boot          = true
  efi_firmware_code = "/usr/share/OVMF/OVMF_CODE_4M.fd"
  efi_firmware_vars = "/usr/share/OVMF/OVMF_VARS_4M.fd"

  cpus           = 2
  memory         = 1024
  disk_size      = "4G"
  disk_interface = "virtio"
  net_device     = "virtio-net"
  format         = "qcow2"
  headless       = true

  # The CD's GRUB has no menu: it waits at its prompt, as isolinux does under
  # BIOS, and takes the same line. The firmware needs longer to get there.
  http_directory = "${path.root}/../debian12/http"
  boot_wait      = "20s"
  boot_command = [
    "install auto=true priority=critical ",
    "url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/preseed.cfg ---<enter>",
  ]

  ssh_username = "vagrant"
  ssh_password = "vagrant"
  ssh_timeout  = "20m"

  # The next machine gets its own identity: a new machine-id and new host keys.
  shutdown_command = "sudo sh -c 'rm -f /etc/ssh/ssh_host_*; truncate -s 0 /etc/machine-id; poweroff'"

  output_directory = "${var.output_directory}/vm"
  vm_name          = "debian12-uefi.qcow2"
}

build {
  sources = ["source.qemu.debian12-uefi"]

  provisioner "shell" {
    script = "${path.root}/../debian12/scripts/vagrant-keys.sh"
  }

  provisioner "shell" {
    script = "${path.root}/../debian12/scripts/demo.sh"
  }

  post-processor "vagrant" {
    output = "${var.output_directory}/debian12-uefi-{{ .Provider }}.box"
  }
}
