#!/bin/sh
# kai against memcached, interleaved: see README.md beside this file, or run with --help.
exec python3 "$(dirname "$0")/compare.py" "$@"
