# One template, several hypervisors and a cloud: under the hypervisors the same system
# is installed from the same CD with the same answers as examples/debian12, natively;
# in EC2 an instance of Debian's own image gets the same scripts and becomes an image
# (and costs money, in your account). From the repository root, for all of them, for
# one, or for all but one:
#
#   boxkiln build examples/everywhere
#   boxkiln build -only='virtualbox-iso.*' examples/everywhere
#   boxkiln build -except='amazon-ebs.*' examples/everywhere
#
# The scripts are those of examples/debian12.

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

variable "output_directory" {
  type    = string
  default = "build/everywhere"
}

variable "aws_region" {
  type    = string
  default = "us-east-1"
}

# The image to start from in EC2, and who logs in there. The account is Debian's.
variable "aws_image" {
  type    = string
  default = "debian-12-amd64-*"
}

variable "aws_owner" {
  type    = string
  default = "136693071363"
}

variable "aws_instance_type" {
  type    = string
  default = "t3.small"
}

variable "aws_user" {
  type    = string
  default = "admin"
}

locals {
  shared = "${path.root}/../debian12"
  boot_command = [
    "install auto=true priority=critical ",
    "url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/preseed.cfg ---<enter>",
  ]
  # The next machine gets its own identity: a new machine-id and new host keys.
  shutdown_command = "sudo sh -c 'rm -f /etc/ssh/ssh_host_*; truncate -s 0 /etc/machine-id; poweroff'"
}

source "qemu" "debian12" {
  iso_url      = var.iso_url
  iso_checksum = var.iso_checksum

  accelerator = var.accelerator
  cpus        = var.cpus
  memory      = 1024
  disk_size   = "4G"

  http_directory = "${local.shared}/http"
  boot_wait      = "5s"
  boot_command   = local.boot_command

  ssh_username     = "vagrant"
  ssh_password     = "vagrant"
  ssh_timeout      = "20m"
  shutdown_command = local.shutdown_command

  output_directory = "${var.output_directory}/qemu"
}

source "virtualbox-iso" "debian12" {
  iso_url      = var.iso_url
  iso_checksum = var.iso_checksum

  guest_os_type        = "Debian_64"
  cpus                 = var.cpus
  memory               = 1024
  disk_size            = 4096
  hard_drive_interface = "sata"
  rtc_time_base        = "UTC"
  headless             = true

  # The demo system has no use for them; without this line they are uploaded.
  guest_additions_mode = "disable"

  http_directory = "${local.shared}/http"
  boot_wait      = "5s"
  boot_command   = local.boot_command

  ssh_username     = "vagrant"
  ssh_password     = "vagrant"
  ssh_timeout      = "20m"
  shutdown_command = local.shutdown_command

  output_directory = "${var.output_directory}/virtualbox"
}

source "vmware-iso" "debian12" {
  iso_url      = var.iso_url
  iso_checksum = var.iso_checksum

  guest_os_type = "debian12-64"
  version       = 19
  cpus          = var.cpus
  memory        = 1024
  disk_size     = 4096
  disk_type_id  = "0"
  headless      = true

  http_directory = "${local.shared}/http"
  boot_wait      = "5s"
  boot_command   = local.boot_command

  ssh_username     = "vagrant"
  ssh_password     = "vagrant"
  ssh_timeout      = "20m"
  shutdown_command = local.shutdown_command

  output_directory = "${var.output_directory}/vmware"
}

source "amazon-ebs" "debian12" {
  region        = var.aws_region
  instance_type = var.aws_instance_type

  source_ami_filter {
    filters = {
      name                  = var.aws_image
      "root-device-type"    = "ebs"
      "virtualization-type" = "hvm"
    }
    owners      = [var.aws_owner]
    most_recent = true
  }

  ssh_username = var.aws_user
  ssh_timeout  = "20m"

  ami_name = "debian12-everywhere-{{timestamp}}"
  tags = {
    Name = "debian12"
    Base = "{{ .SourceAMI }}"
  }
}

build {
  sources = [
    "source.qemu.debian12",
    "source.virtualbox-iso.debian12",
    "source.vmware-iso.debian12",
    "source.amazon-ebs.debian12",
  ]

  # Vagrant brings keys of its own to an instance in EC2, where the well-known ones would let everybody in.
  provisioner "shell" {
    except = ["amazon-ebs.debian12"]
    script = "${local.shared}/scripts/vagrant-keys.sh"
  }

  provisioner "shell" {
    script = "${local.shared}/scripts/demo.sh"
  }
}
