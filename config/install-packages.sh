#!/bin/sh
# install-packages.sh SET...: installs the Debian packages of these sets that are missing, as root or
# through sudo; without either it prints the line to run and stops.
set -eu
list="$(dirname "$0")/packages.txt"
missing=
for set in "$@"; do
    for package in $(sed -n "s/^$set //p" "$list"); do
        status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
        [ "$status" = "install ok installed" ] || missing="$missing $package"
    done
done
[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null || {
    echo "netq is built on Debian 12; without apt, install the equivalents of:$missing" >&2
    exit 1
}
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=sudo
elif command -v sudo >/dev/null && [ -t 0 ]; then
    as_root=sudo
else
    echo "Packages are missing. As root, run this line, then try again:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi
echo "Installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q >/dev/null
$as_root apt-get install -y -q --no-install-recommends $missing >/dev/null
