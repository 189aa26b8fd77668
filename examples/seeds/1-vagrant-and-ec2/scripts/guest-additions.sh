#!/bin/bash
# Builds VirtualBox's guest additions, for synced folders.
set -e
version=$(cat /home/vagrant/.vbox_version)
apt-get install -y -qq dkms
mount -o loop "/home/vagrant/VBoxGuestAdditions_$version.iso" /mnt
sh /mnt/VBoxLinuxAdditions.run --nox11 || true
umount /mnt
rm "/home/vagrant/VBoxGuestAdditions_$version.iso"
