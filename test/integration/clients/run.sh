#!/usr/bin/env bash
# Client libraries of other languages against three nodes: run.sh [BUILD/bin]
# Each writes through one node and reads through another. Those whose package is missing are passed
# over; `run.sh --install [BUILD/bin]` installs them first (Debian's packages, some hundred MB; Node's
# clients, which Debian does not have, through npm).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
packages=(libcache-memcached-perl libcache-memcached-fast-perl php-cli php-memcache php-memcached
  ruby ruby-dalli libspymemcached-java default-jdk-headless python3-pymemcache python3-pylibmc
  python3-memcache python3-binary-memcached golang-go golang-github-bradfitz-gomemcache-dev
  libmemcached-dev gcc)
node_packages=(memcached@2.2.2 memjs@1.3.2)

if [ "${1:-}" = --install ]; then
  shift
  command -v npm >/dev/null || packages+=(nodejs npm)
  as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get -qq update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
  "${as_root[@]}" npm install --silent --global "${node_packages[@]}" >/dev/null
fi
bin=${1:-$here/../../../build/bin}
work=$(mktemp -d)
"$bin/kai-cluster" --nodes=3 -p 0 -c 0 --storage.engine=memory >"$work/ready" 2>"$work/log" &
cluster=$!
trap 'kill "$cluster" 2>/dev/null || true; wait "$cluster" || true; rm -rf "$work"' EXIT
for _ in $(seq 300); do
  ! grep -q "kai-cluster ready" "$work/ready" || break
  sleep 0.1
done
mapfile -t ports < <(sed -n 's/^kai-node ready .* memcache=[^ ]*:\([0-9]*\) .*/\1/p' "$work/ready")
[ ${#ports[@]} -eq 3 ] || { cat "$work/log" >&2; exit 1; }

failed=0
# try NAME NEEDS COMMAND...: NEEDS is a test of whether the client is there.
try() {
  local name=$1 needs=$2
  shift 2
  if ! eval "$needs" >/dev/null 2>&1; then
    printf '%-28s not installed\n' "$name"
  elif timeout 60 "$@" "${ports[0]}" "${ports[1]}" >"$work/output" 2>&1; then
    printf '%-28s passes\n' "$name"
  else
    printf '%-28s FAILS\n' "$name"
    sed 's/^/    /' "$work/output" | tail -20
    failed=1
  fi
}

java_path=/usr/share/java/spymemcached.jar
try "Perl Cache::Memcached" "perl -MCache::Memcached -e1" perl "$here/cache_memcached.pl"
try "Perl Cache::Memcached::Fast" "perl -MCache::Memcached::Fast -e1" \
  perl "$here/cache_memcached_fast.pl"
try "PHP Memcache" "php -r 'exit(class_exists(\"Memcache\") ? 0 : 1);'" php "$here/memcache.php"
try "PHP Memcached" "php -r 'exit(class_exists(\"Memcached\") ? 0 : 1);'" php "$here/memcached.php"
try "Ruby dalli" "ruby -rdalli -e 1" ruby "$here/dalli_client.rb"
try "Java spymemcached" "test -f $java_path && command -v javac" \
  java -cp "$java_path" "$here/Spymemcached.java"
try "Python pymemcache" "/usr/bin/python3 -c 'import pymemcache'" /usr/bin/python3 "$here/pymemcache_client.py"
try "Python python-memcached" "/usr/bin/python3 -c 'import memcache'" /usr/bin/python3 "$here/python_memcached.py"
try "Python pylibmc" "/usr/bin/python3 -c 'import pylibmc'" /usr/bin/python3 "$here/pylibmc_client.py"
try "Python bmemcached" "/usr/bin/python3 -c 'import bmemcached'" /usr/bin/python3 "$here/bmemcached_client.py"
if command -v go >/dev/null && [ -d /usr/share/gocode/src/github.com/bradfitz/gomemcache ]; then
  (cd "$work" && GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$work/go-cache \
    go build -o gomemcache "$here/gomemcache.go") || true
fi
try "Go gomemcache" "command -v go && test -d /usr/share/gocode/src/github.com/bradfitz" \
  "$work/gomemcache"
if command -v gcc >/dev/null && [ -f /usr/include/libmemcached/memcached.h ]; then
  gcc -o "$work/libmemcached" "$here/libmemcached.c" -lmemcached || true
fi
try "C libmemcached" "test -f /usr/include/libmemcached/memcached.h" "$work/libmemcached"
NODE_PATH=$(npm root --global 2>/dev/null || true)
export NODE_PATH
try "Node memcached" "node -e 'require(\"memcached\")'" node "$here/memcached.js"
try "Node memjs" "node -e 'require(\"memjs\")'" node "$here/memjs.js"
exit "$failed"
