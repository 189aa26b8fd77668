#!/bin/sh
export DEBIAN_FRONTEND=noninteractive
apt-get update
# shellcheck disable=SC2086 # a list of packages
apt-get install -y $PACKAGES
echo "$STAMP" > /etc/image-date
