source "fake" "alpha" {
  iso_url      = "${path.root}/installer.iso"
  iso_checksum = "sha256:582b49e0d864f6b680042a5b8655c9637309c7b974d26d3fb6ac5039263ea309"

  http_content = {
    "/ks.cfg" = "# ${local.motd}\n"
  }
  boot_wait    = "-1s"
  boot_command = ["linux ks=http://{{ .HTTPIP }}:{{ .HTTPPort }}/ks.cfg<enter>"]

  ssh_username     = "root"
  shutdown_command = "poweroff"
  output_directory = "${var.out}/alpha"
}
