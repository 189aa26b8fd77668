# examples/debian12 for VirtualBox, in the words of Packer 1.6.6. From the repository root.

variable "iso_url" {
  type = string
}

variable "output_directory" {
  type = string
}

source "virtualbox-iso" "debian12" {
  iso_url      = var.iso_url
  iso_checksum = "file:${var.iso_url}.sha256"

  guest_os_type        = "Debian_64"
  cpus                 = 1
  memory               = 1024
  disk_size            = 4096
  hard_drive_interface = "sata"
  guest_additions_mode = "disable"
  headless             = true

  http_directory = "examples/debian12/http"
  boot_wait      = "10s" # a busy host
  boot_command = [
    "install auto=true priority=critical ",
    "url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/preseed.cfg ---<enter>",
  ]

  ssh_username = "vagrant"
  ssh_password = "vagrant"
  ssh_timeout  = "20m"

  shutdown_command = "sudo sh -c 'rm -f /etc/ssh/ssh_host_*; truncate -s 0 /etc/machine-id; poweroff'"

  output_directory = "${var.output_directory}/vm"
  vm_name          = "debian12"
  export_opts      = ["--manifest"]
}

build {
  sources = ["source.virtualbox-iso.debian12"]

  provisioner "shell" {
    scripts = [
      "examples/debian12/scripts/vagrant-keys.sh",
      "examples/debian12/scripts/demo.sh",
    ]
  }

  post-processor "vagrant" {
    output = "${var.output_directory}/debian12-{{ .Provider }}.box"
  }
}
