variable "greeting" {
  type    = string
  default = "hello"
}

variable "release" {
  type    = string
  default = "1.0.0"

  validation {
    condition     = can(regex("^[0-9.]+$", var.release))
    error_message = "The release consists of digits and dots."
  }
}

variable "out" {
  type    = string
  default = "out"
}

locals {
  motd = "${var.greeting} from ${var.release}"
}
