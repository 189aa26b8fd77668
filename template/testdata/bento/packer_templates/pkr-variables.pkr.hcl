variable "os_name" {
  type        = string
  description = "OS Brand Name"
}
variable "os_version" {
  type        = string
  description = "OS version number"
}
variable "os_arch" {
  type = string
  validation {
    condition     = var.os_arch == "x86_64" || var.os_arch == "aarch64"
    error_message = "The OS architecture type should be either x86_64 or aarch64."
  }
}
variable "is_windows" {
  type    = bool
  default = false
}
variable "http_proxy" {
  type    = string
  default = env("http_proxy")
}
variable "sources_enabled" {
  type = list(string)
  default = [
    "source.hyperv-iso.vm",
    "source.qemu.vm",
    "source.virtualbox-iso.vm",
  ]
}
variable "boot_command" {
  type    = list(string)
  default = null
}
variable "boot_wait" {
  type    = string
  default = null
}
variable "cpus" {
  type    = number
  default = 2
}
variable "headless" {
  type    = bool
  default = true
}
variable "http_directory" {
  type    = string
  default = null
}
variable "iso_url" {
  type    = string
  default = null
}
variable "iso_checksum" {
  type    = string
  default = null
}
variable "memory" {
  type    = number
  default = null
}
variable "qemuargs" {
  type    = list(list(string))
  default = null
}
variable "scripts" {
  type    = list(string)
  default = null
}
variable "shutdown_command" {
  type    = string
  default = null
}
