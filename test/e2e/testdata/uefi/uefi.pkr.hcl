# examples/debian12-uefi with another way in: no password, but the build's temporary key, which is typed as a parameter of
# the installer's kernel; with a preseed file out of the template; and with a second CD, which a provisioner reads.

variable "iso_url" { type = string }
variable "iso_checksum" { type = string }
variable "output_directory" { type = string }

locals {
  example = "${path.root}/../../../../examples/debian12"
  add_key = join(" && ", [
    "mkdir -p /target/home/vagrant/.ssh",
    "sed -n 's/.* sshkey=\\([^ ]*\\).*/ssh-ed25519 \\1/p' /proc/cmdline >/target/home/vagrant/.ssh/authorized_keys",
    "chroot /target chown -R vagrant: /home/vagrant/.ssh",
  ])
}

source "qemu" "uefi" {
  iso_url      = var.iso_url
  iso_checksum = var.iso_checksum

  accelerator       = "tcg"
  machine_type      = "q35"
  efi_boot          = true
  efi_firmware_code = "/usr/share/OVMF/OVMF_CODE_4M.fd"
  efi_firmware_vars = "/usr/share/OVMF/OVMF_VARS_4M.fd"
  cpus              = 2
  memory            = 1024
  disk_size         = "4G"

  cd_content = { "user-data" = "from the seed CD" }
  cd_label   = "SEEDCD"
  http_content = {
    "/preseed.cfg" = "${file("${local.example}/http/preseed.cfg")}\nd-i preseed/late_command string ${local.add_key}\n"
  }
  boot_wait = "20s"
  boot_command = [
    "install auto=true priority=critical ",
    "url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/preseed.cfg ",
    "sshkey={{ split .SSHPublicKey \" \" 1 }} ---<enter>",
  ]

  ssh_username     = "vagrant"
  ssh_timeout      = "20m"
  shutdown_command = "sudo sh -c 'rm -f /etc/ssh/ssh_host_*; truncate -s 0 /etc/machine-id; poweroff'"
  output_directory = "${var.output_directory}/vm"
}

build {
  sources = ["source.qemu.uefi"]

  provisioner "shell" {
    inline = [
      "sudo mount -o ro LABEL=SEEDCD /mnt",
      "cat /mnt/user-data",
      "sudo umount /mnt",
      "test -d /sys/firmware/efi",
    ]
  }

  provisioner "shell" {
    scripts = ["${local.example}/scripts/vagrant-keys.sh", "${local.example}/scripts/demo.sh"]
  }

  post-processor "vagrant" {
    output = "${var.output_directory}/uefi-{{ .Provider }}.box"
  }
}
