#!/bin/bash
# Zeroes compress well.
dd if=/dev/zero of=/EMPTY bs=1M 2>/dev/null
rm -f /EMPTY
sync
