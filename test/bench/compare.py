#!/usr/bin/env python3
"""Measures kai against memcached in one interleaved run and prints ratios: see README.md."""

import argparse
import json
import os
import pathlib
import signal
import statistics
import sys
import tempfile

import bars
from servers import Side, bench, start_kai, start_plain

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Name, nodes, storage engine, and the loads: (name, pipeline, spread over all nodes).
SCENARIOS = {
    "one": (1, "memory", [("plain", 1, False), ("p16", 16, False)]),
    "five": (5, "memory", [("one node, plain", 1, False), ("one node, p16", 16, False),
                           ("spread, plain", 1, True), ("spread, p16", 16, True)]),
    "three": (3, "memory", [("spread, plain", 1, True), ("spread, p16", 16, True)]),
    "one-leveldb": (1, "leveldb", [("plain", 1, False), ("p16", 16, False)]),
    "five-leveldb": (5, "leveldb", [("spread, plain", 1, True), ("spread, p16", 16, True)]),
}

HEADER = """\
| scenario | load | A req/s | B req/s | B/A median (min..max) | CPU per request B/A | \
get p99 ms A / B | get p99.9 ms A / B | failed, missed |
|---|---|---|---|---|---|---|---|---|"""


def measure(args, side, pipeline, spread, seed):
    """One run: requests per second, server CPU per request in microseconds, and what failed."""
    servers = side.servers if spread else side.servers[:1]
    before = side.cpu_seconds()
    result = bench(args, servers, f"--pipeline={pipeline}", f"--duration={args.duration}s",
                   f"--warmup={args.warmup}s", f"--seed={seed}")
    cpu = side.cpu_seconds() - before
    kinds = (result["gets"], result["sets"])
    return {"rate": result["requests_per_second"],
            "cpu_us": cpu / result["totals"]["requests_answered"] * 1e6,
            "p99_us": result["gets"]["latency_us"]["p99"],
            "p999_us": result["gets"]["latency_us"]["p999"],
            "misses": result["gets"]["misses"],
            "failed": sum(k["errors"] + k["timeouts"] + k["lost"] for k in kinds)}


def spread_of(pairs, what):
    ratios = [b[what] / a[what] for a, b in pairs if a[what] > 0]
    if not ratios:
        return "-"
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


def table_row(scenario, load, pairs):
    def middle(side, what):
        return statistics.median(pair[side][what] for pair in pairs)

    wrong = sum(b["failed"] + b["misses"] for _, b in pairs)
    return (f"| {scenario} | {load} | {middle(0, 'rate'):,.0f} | {middle(1, 'rate'):,.0f} | "
            f"{spread_of(pairs, 'rate')} | {spread_of(pairs, 'cpu_us')} | "
            f"{middle(0, 'p99_us') / 1000:.2f} / {middle(1, 'p99_us') / 1000:.2f} | "
            f"{middle(0, 'p999_us') / 1000:.2f} / {middle(1, 'p999_us') / 1000:.2f} | {wrong} |")


def run_scenario(args, name, log):
    nodes, engine, loads = SCENARIOS[name]
    rows, raw = [], []
    with tempfile.TemporaryDirectory(prefix="kai-bench-") as directory:
        a, b = Side(log), Side(log)
        try:
            start_plain(a, args.a_command)
            if args.b_command:
                start_plain(b, args.b_command)
            else:
                start_kai(b, args, nodes, engine, directory)
            for side in (a, b):
                bench(args, side.servers[:1], "--preload", "--duration=0s")
            for load, pipeline, spread in loads:
                pairs = [(measure(args, a, pipeline, spread, i), measure(args, b, pipeline, spread, i))
                         for i in range(args.rounds)]
                rows.append(table_row(name, load, pairs))
                raw.append({"scenario": name, "load": load, "rounds": pairs})
                print(rows[-1], flush=True)
        finally:
            a.stop()
            b.stop()
    return raw


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", default=str(ROOT / "build/bin"), help="where kai's programs are")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of runs (%(default)s)")
    parser.add_argument("--duration", type=int, default=5, help="seconds of a run (%(default)s)")
    parser.add_argument("--warmup", type=int, default=1, help="seconds before it (%(default)s)")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--value-size", default="1024")
    parser.add_argument("--keys", type=int, default=10000)
    parser.add_argument("--loops", type=int, default=1,
                        help="node.loops of each kai-node (%(default)s)")
    parser.add_argument("--kai-cluster", action="store_true",
                        help="five nodes in one kai-cluster instead of five kai-node processes")
    user = " -u root" if os.geteuid() == 0 else ""
    memcached = f"memcached{user} -t 2 -m 1024 -c 4096 -U 0 -l 127.0.0.1 -p {{port}}"
    parser.add_argument("--a-command", default=memcached, help="side A, default: %(default)s")
    parser.add_argument("--b-command", help="side B instead of kai, with {port} in it; "
                        "'A' is side A's command: the noise floor")
    parser.add_argument("--json", help="write every run's figures there")
    parser.add_argument("--log", default=os.devnull, help="the servers' stderr goes there")
    args = parser.parse_args()
    if args.b_command == "A":
        args.b_command = args.a_command
    for name in args.scenarios.split(","):
        if name not in SCENARIOS and name not in bars.BARS:
            parser.error(f"--scenarios: no scenario '{name}'; there are "
                         f"{', '.join([*SCENARIOS, *bars.BARS])}")
    if args.kai_cluster and args.loops > 1:
        parser.error("--loops is for kai-node; kai-cluster has one loop for each node")
    if min(args.rounds, args.duration, args.connections, args.keys, args.loops) < 1 or args.warmup < 0:
        parser.error("--rounds, --duration, --connections, --keys and --loops are at least 1")
    return args


def main():
    args = arguments()
    # A signal ends the servers too: it becomes an exception, and `finally` stops them.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    names = args.scenarios.split(",")
    raw = []
    with open(args.log, "ab") as log:
        if any(name in SCENARIOS for name in names):
            print(HEADER, flush=True)
        for name in (x for x in names if x in SCENARIOS):
            raw += run_scenario(args, name, log)
        if any(name in bars.BARS for name in names):
            print(bars.HEADER, flush=True)
        for name in (x for x in names if x in bars.BARS):
            raw += bars.run(args, name, log)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
