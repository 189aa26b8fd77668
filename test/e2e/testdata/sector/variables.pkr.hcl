variable "iso" { type = string }

variable "checksum" {
  type    = string
  default = "none"
}

variable "disk" {
  type    = string
  default = "virtio"
}

variable "out" { type = string }
