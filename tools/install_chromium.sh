#!/bin/sh
# Installs Debian's Chromium for the tests of the page, where it is missing and may be installed.
# Elsewhere those tests are skipped, and say so; it never fails.
if [ -n "$LIONPRIDE_CHROMIUM" ] || command -v chromium >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "no Chromium, and no right to install it: the tests in a browser are skipped" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >/dev/null 2>&1
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null 2>&1 ||
    echo "Chromium cannot be installed: the tests in a browser are skipped" >&2
exit 0
