# Debian 12 for Vagrant, from the small installer CD that `make iso` makes.
# Nothing in this file is particular to Boxkiln. From the repository root:
#
#   boxkiln build examples/debian12
#   packer build examples/debian12

variable "iso_url" {
  type    = string
  default = "build/iso/debian12-mini.iso"
}

variable "iso_checksum" {
  type    = string
  default = "file:build/iso/debian12-mini.iso.sha256"
}

variable "cpus" {
  type    = number
  default = 2
}

variable "accelerator" {
  type    = string
  default = "tcg"
}

variable "disk_interface" {
  type    = string
  default = "virtio"
}

variable "net_device" {
  type    = string
  default = "virtio-net"
}

variable "output_directory" {
  type    = string
  default = "build/debian12"
}

source "qemu" "debian12" {
  iso_url      = var.iso_url
  iso_checksum = var.iso_checksum

  accelerator    = var.accelerator
  cpus           = var.cpus
  memory         = 1024
  disk_size      = "4G"
  disk_interface = var.disk_interface
  net_device     = var.net_device
  format         = "qcow2"
  headless       = true

  http_directory = "${path.root}/http"
  boot_wait      = "5s"
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
  vm_name          = "debian12.qcow2"
}

build {
  sources = ["source.qemu.debian12"]

  # A provisioner for each script: Boxkiln keeps the machine after every one, so
  # that after a change of the last script only the last script runs.
  provisioner "shell" {
    script = "${path.root}/scripts/vagrant-keys.sh"
  }

  provisioner "shell" {
    script = "${path.root}/scripts/demo.sh"
  }

  post-processor "vagrant" {
    output = "${var.output_directory}/debian12-{{ .Provider }}.box"
  }
}
