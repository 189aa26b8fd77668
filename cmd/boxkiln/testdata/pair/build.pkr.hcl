build {
  name = "pair"

  source "fake.alpha" {}

  source "fake.alpha" {
    name             = "beta"
    cpus             = 2
    output_directory = "${var.out}/beta"
    vm_name          = "golden"
  }

  provisioner "shell" {
    inline = ["echo ${local.motd} in $PACKER_BUILD_NAME", "mkdir -p site"]
  }

  provisioner "shell" {
    only   = ["fake.beta"]
    script = "${path.root}/scripts/beta.sh"
  }

  provisioner "file" {
    source      = "${path.root}/scripts/beta.sh"
    destination = "site/beta.sh"
  }

  provisioner "file" {
    direction   = "download"
    source      = "site/beta.sh"
    destination = "${var.out}/fetched-${source.name}.sh"
  }
}
