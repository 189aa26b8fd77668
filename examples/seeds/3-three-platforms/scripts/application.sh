#!/bin/bash
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get install -y nginx
echo "<h1>The same everywhere</h1>" > /usr/share/nginx/www/index.html
