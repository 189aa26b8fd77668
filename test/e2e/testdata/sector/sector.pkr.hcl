# A guest that ends within a second, on both kinds of PC.

source "qemu" "sector" {
  iso_url          = var.iso
  iso_checksum     = var.checksum
  accelerator      = "tcg"
  memory           = 64
  disk_size        = "1M"
  disk_interface   = var.disk
  format           = "raw"
  vm_name          = "disk"
  communicator     = "none"
  shutdown_timeout = "10m"
}

build {
  source "qemu.sector" {
    name             = "pc"
    machine_type     = "pc"
    output_directory = "${var.out}/pc"
  }

  source "qemu.sector" {
    name             = "q35"
    machine_type     = "q35"
    output_directory = "${var.out}/q35"
  }
}
