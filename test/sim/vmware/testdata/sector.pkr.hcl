# A machine of one sector, which Packer takes through all that needs no login.

variable "source" {
  type = string
}

variable "output" {
  type = string
}

variable "linked" {
  type    = bool
  default = false
}

source "vmware-vmx" "sector" {
  source_path      = var.source
  linked           = var.linked
  skip_compaction  = var.linked # the disk of a linked clone cannot be shrunk
  communicator     = "none"
  headless         = true
  boot_wait        = "1s"
  boot_command     = ["typed By packer"]
  output_directory = var.output
  vm_name          = "made"
  format           = "ova"
  skip_export      = false
}

build {
  sources = ["source.vmware-vmx.sector"]
}
