#!/bin/sh
# Install Debian's redis-server for the benchmark; a server that it started by itself is left alone.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet
apt-get install --quiet --yes --no-install-recommends redis-server
