#!/usr/bin/env bash
# Installs the Debian packages that are missing: install-packages.sh build|test
# As root, or as a user with sudo. Does nothing, and needs no network, when all are there.
set -euo pipefail

build=(g++ cmake ninja-build libcaf-dev libleveldb-dev libboost-dev libxxhash-dev libspdlog-dev
       nlohmann-json3-dev libgoogle-perftools-dev catch2 python3 netcat-openbsd)
# memcached is what the tests compare with.
test=(memcached libmemcached-tools iproute2)

case "${1:-}" in
  build) wanted=("${build[@]}") ;;
  test) wanted=("${build[@]}" "${test[@]}") ;;
  *) echo "usage: ${0##*/} build|test" >&2; exit 2 ;;
esac

missing=()
for package in "${wanted[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install-packages: missing: ${missing[*]}. Run this as root, or install sudo." >&2
    exit 1
  fi
  as_root=(sudo)
fi

# Debian starts a service when it installs one: its memcached would take port 11211.
policy=/usr/sbin/policy-rc.d
ours=
cleanup() { [ -z "$ours" ] || "${as_root[@]}" rm -f "$policy"; }
trap cleanup EXIT
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  ours=1
  "${as_root[@]}" chmod 755 "$policy"
fi

echo "install-packages: installing ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
"${apt[@]}" update
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null

if [[ " ${missing[*]} " == *" memcached "* && -d /run/systemd/system ]]; then
  "${as_root[@]}" systemctl disable --quiet memcached || true
fi
