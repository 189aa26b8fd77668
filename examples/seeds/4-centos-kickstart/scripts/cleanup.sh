#!/bin/bash
yum -y clean all
rm -f /etc/udev/rules.d/70-persistent-net.rules
sed -i '/^HWADDR/d;/^UUID/d' /etc/sysconfig/network-scripts/ifcfg-e*
rm -rf /tmp/*
dd if=/dev/zero of=/EMPTY bs=1M 2>/dev/null
rm -f /EMPTY
sync
