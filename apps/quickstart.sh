#!/usr/bin/env bash
# From a fresh checkout to a running cluster: installs what is missing, builds, starts five nodes,
# and stores and reads a key. Safe to repeat. See --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: quickstart.sh [--check] [--port=11211] [--cluster-port=11011]

Installs the packages that are missing (as root or with sudo), builds kai, starts a cluster of five
nodes on this host, stores a key through one node and reads it through another. The cluster then
runs until Ctrl-C; nothing of it stays behind.

  --check            ends after the round trip, with status 0 if all went well
  --port=N           clients connect to the ports N to N+4 (default: 11211)
  --cluster-port=N   the nodes talk on the ports N to N+4 (default: 11011)
TEXT
}

fail() { echo "quickstart: $*" >&2; exit 1; }
wrong() { echo "quickstart: $*; see --help" >&2; exit 2; }
say() { printf '\n%s\n' "$*"; }

check=
port=11211
cluster_port=11011
for argument in "$@"; do
  case "$argument" in
    --check) check=1 ;;
    --port=*) port=${argument#*=} ;;
    --cluster-port=*) cluster_port=${argument#*=} ;;
    --help | -h) usage; exit 0 ;;
    *) wrong "there is no option $argument" ;;
  esac
done
for number in "$port" "$cluster_port"; do
  if ! [[ $number =~ ^[1-9][0-9]{0,4}$ ]] || ((number > 65531)); then
    wrong "\"$number\" is not a port from 1 to 65531"
  fi
done

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$top/build

require_free() { # first port, option
  for ((i = $1; i < $1 + 5; i++)); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$i") 2>/dev/null; then
      fail "port $i is in use. Choose five free ones in a row with $2=N."
    fi
  done
}
require_free "$port" --port
require_free "$cluster_port" --cluster-port

"$top/apps/install-packages.sh" build

say "Building (a few minutes the first time) ..."
"$top/apps/build.sh" "$build" Release -- kai-node kai-cluster kai-admin

work=$(mktemp -d)
cluster=
stop() {
  if [ -n "$cluster" ]; then
    kill -TERM "$cluster" 2>/dev/null || true
    wait "$cluster" || true
  fi
  rm -rf "$work"
}
trap stop EXIT
trap 'echo; exit 0' INT TERM

command=("$build/bin/kai-cluster" --nodes=5 "--memcache.port=$port" "--cluster.port=$cluster_port")
say "\$ ${command[*]}"
# In a session of its own, so that Ctrl-C reaches this script only, which stops it in order.
setsid "${command[@]}" >"$work/out" 2>"$work/log" &
cluster=$!
for ((i = 0; i < 600; i++)); do
  grep -q '^kai-cluster ready' "$work/out" && break
  kill -0 "$cluster" 2>/dev/null || break
  sleep 0.1
done
if ! grep -q '^kai-cluster ready' "$work/out"; then
  tail -n 20 "$work/log" >&2
  fail "the cluster did not start"
fi
cat "$work/out"

# Sends text to a node and shows the dialogue. What came back is in $answer, its lines between blanks.
talk() { # port, last line of the answer, lines to send...
  local node=$1 last=$2 line
  shift 2
  exec 3<>"/dev/tcp/127.0.0.1/$node"
  printf '%s\r\n' "$@" >&3
  printf '  > %s\n' "$@"
  answer=
  while IFS= read -r -t 10 line <&3; do
    line=${line%$'\r'}
    printf '  < %s\n' "$line"
    answer+="${answer:+ }$line"
    [[ $line == "$last" || $line == *ERROR* ]] && break
  done
  exec 3<&- 3>&-
}

say "Store a key through the first node (127.0.0.1:$port), in memcache's text protocol:"
talk "$port" STORED 'set greeting 0 0 11' 'hello world'
[ "$answer" = STORED ] || fail "the key was not stored"

other=$((port + 3))
say "Read it through the fourth node (127.0.0.1:$other):"
talk "$other" END 'get greeting'
[ "$answer" = 'VALUE greeting 0 11 hello world END' ] || fail "the key was not read back"

if [ -n "$check" ]; then
  say "The round trip works."
  exit 0
fi

cat <<TEXT

It works. The cluster runs until Ctrl-C. In another terminal, try:

  printf 'get greeting\r\nquit\r\n' | nc 127.0.0.1 $other
  $build/bin/kai-admin --node=127.0.0.1:$cluster_port status
  $build/bin/kai-admin --node=127.0.0.1:$cluster_port locate greeting

Any memcached client works, with any of the ports $port to $((port + 4)).
$top/conf/kai.conf lists every option; $build/bin/kai-node --help shows them too.
TEXT
wait "$cluster" && status=0 || status=$?
cluster=
tail -n 20 "$work/log" >&2
fail "the cluster ended by itself with status $status"
