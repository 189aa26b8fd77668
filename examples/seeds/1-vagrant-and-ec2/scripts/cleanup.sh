#!/bin/bash
# Makes the image small, and forgets what belongs to this machine alone.
apt-get -y autoremove
apt-get clean
rm -f /var/lib/dhcp/*.leases
rm -f /etc/udev/rules.d/70-persistent-net.rules
dd if=/dev/zero of=/EMPTY bs=1M 2>/dev/null
rm -f /EMPTY
sync
