locals {
  # qemu
  qemuargs = var.qemuargs == null ? (
    var.is_windows ? [
      ["-drive", "file={{ .OutputDir }}/{{ .Name }},if=virtio,format=qcow2,index=1"],
    ] : null
  ) : var.qemuargs

  # Source block common
  boot_wait        = var.boot_wait == null ? (var.is_windows ? "180s" : "5s") : var.boot_wait
  http_directory   = var.http_directory == null ? "${path.root}/http" : var.http_directory
  memory           = var.memory == null ? (var.is_windows || var.os_name == "macos" ? 4096 : 2048) : var.memory
  output_directory = "${path.root}/../builds/build_files/packer-${var.os_name}-${var.os_version}-${var.os_arch}"
  shutdown_command = var.shutdown_command == null ? (
    var.is_windows ? "shutdown /s /t 10 /f" : "echo 'vagrant' | sudo -S /sbin/halt -h -p"
  ) : var.shutdown_command
  vm_name = "${var.os_name}-${var.os_version}-${var.os_arch == "aarch64" ? "arm64" : "amd64"}"
}

source "hyperv-iso" "vm" {
  generation = 2
}

source "qemu" "vm" {
  boot_command     = var.boot_command
  boot_wait        = local.boot_wait
  cpus             = var.cpus
  headless         = var.headless
  http_directory   = local.http_directory
  iso_checksum     = var.iso_checksum
  iso_url          = var.iso_url
  memory           = local.memory
  output_directory = "${local.output_directory}-qemu"
  qemuargs         = local.qemuargs
  shutdown_command = local.shutdown_command
  ssh_password     = "vagrant"
  ssh_username     = "vagrant"
  vm_name          = local.vm_name
}

source "virtualbox-iso" "vm" {
  boot_command     = var.boot_command
  iso_url          = var.iso_url
  output_directory = "${local.output_directory}-virtualbox"
}
