#!/bin/bash
set -euo pipefail
apt-get update -qq
apt-get dist-upgrade -y -qq
apt-get install -y -qq curl htop ntp unattended-upgrades
mv /tmp/motd /etc/motd
echo "$ENVIRONMENT" > /etc/environment-name
