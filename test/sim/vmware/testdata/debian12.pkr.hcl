# The machine of examples/debian12, as Packer's builders for VMware make it.
# vmware-iso installs it from the CD, vmware-vmx starts from the result.

variable "iso_url" {
  type = string
}

variable "examples" {
  type        = string
  description = "the folder examples/debian12 of the repository"
}

variable "output" {
  type = string
}

source "vmware-iso" "debian12" {
  iso_url      = var.iso_url
  iso_checksum = "file:${var.iso_url}.sha256"

  guest_os_type        = "debian12-64"
  version              = 19
  cpus                 = 1
  memory               = 1024
  disk_size            = 4096
  disk_type_id         = 0
  disk_adapter_type    = "lsilogic"
  network_adapter_type = "e1000"
  # Packer 1.6.6 forgets processors and memory of a machine without a serial port.
  serial   = "FILE:${var.output}/serial.log,FALSE"
  headless = true

  http_directory    = "${var.examples}/http"
  boot_wait         = "5s"
  boot_key_interval = "10ms"
  boot_command = [
    "install auto=true priority=critical ",
    "url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/preseed.cfg ---<enter>",
  ]

  ssh_username     = "vagrant"
  ssh_password     = "vagrant"
  ssh_timeout      = "20m"
  shutdown_command = "sudo sh -c 'rm -f /etc/ssh/ssh_host_*; truncate -s 0 /etc/machine-id; poweroff'"

  output_directory = "${var.output}/iso"
  vm_name          = "debian12"
}

source "vmware-vmx" "debian12" {
  source_path      = "${var.output}/iso/debian12.vmx"
  headless         = true
  boot_wait        = "1s"
  ssh_username     = "vagrant"
  ssh_password     = "vagrant"
  ssh_timeout      = "10m"
  shutdown_command = "sudo poweroff"
  output_directory = "${var.output}/vmx"
  vm_name          = "again"
}

build {
  sources = ["source.vmware-iso.debian12", "source.vmware-vmx.debian12"]

  provisioner "shell" {
    only   = ["vmware-iso.debian12"]
    script = "${var.examples}/scripts/demo.sh"
  }

  provisioner "shell" {
    only   = ["vmware-vmx.debian12"]
    inline = ["cat /etc/boxkiln-demo", "sudo dmesg | grep -i DMI:"]
  }
}
