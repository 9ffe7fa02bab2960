#!/usr/bin/env python3
"""Measures kai against memcached in one interleaved run and prints ratios: see README.md."""

import argparse
import json
import os
import pathlib
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
# Name, nodes, storage engine, and the loads: (name, pipeline, spread over all nodes).
SCENARIOS = {
    "one": (1, "memory", [("plain", 1, False), ("p16", 16, False)]),
    "five": (5, "memory", [("one node, plain", 1, False), ("one node, p16", 16, False),
                           ("spread, plain", 1, True), ("spread, p16", 16, True)]),
    "one-leveldb": (1, "leveldb", [("plain", 1, False), ("p16", 16, False)]),
    "five-leveldb": (5, "leveldb", [("spread, plain", 1, True), ("spread, p16", 16, True)]),
}


def fail(message):
    sys.exit(f"run.sh: {message}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            fail(f"{process.args[0]} ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    fail(f"{process.args[0]} does not listen on port {port}")


class Side:
    """The server processes of one side, and the addresses of their clients' ports."""

    def __init__(self, log):
        self.processes, self.servers, self.log = [], [], log

    def start(self, command, **more):
        try:
            process = subprocess.Popen(command, stderr=self.log, stdin=subprocess.DEVNULL, **more)
        except OSError as error:
            fail(f"{command[0]}: {error.strerror}")
        self.processes.append(process)
        return process

    def cpu_seconds(self):
        """utime and stime of all processes, all of their threads included (proc(5))."""
        ticks = 0
        for process in self.processes:
            if process.poll() is not None:
                fail(f"{process.args[0]} ended with status {process.returncode} during the run")
            fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(6)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start_plain(side, template):
    """A server that is given its port on the command line and says nothing."""
    port = free_port()
    command = shlex.split(template.replace("{port}", str(port)))
    wait_for_port(port, side.start(command, stdout=subprocess.DEVNULL))
    side.servers.append(f"127.0.0.1:{port}")


def read_ready(process, nodes):
    """The ready lines of kai-node or kai-cluster, as dictionaries."""
    found = []
    while len(found) < nodes:
        line = process.stdout.readline()
        if not line:
            fail(f"{process.args[0]} ended before it was ready (status {process.wait()})")
        if line.startswith("kai-node ready "):
            found.append(dict(x.split("=", 1) for x in line.split()[2:]))
    return found


def start_kai(side, args, nodes, engine, directory):
    common = [f"--storage.engine={engine}", "--storage.sync=interval",
              f"--cluster.replicas={3 if nodes > 1 else 1}"]
    if nodes > 1:
        common += ["--cluster.read-quorum=2", "--cluster.write-quorum=2"]
    ports = ["--memcache.port=0", "--cluster.port=0"]
    if args.kai_cluster and nodes > 1:
        command = [f"{args.bin}/kai-cluster", f"--nodes={nodes}",
                   f"--storage.directory={directory}/cluster", *ports, *common]
        process = side.start(command, stdout=subprocess.PIPE, text=True)
        ready = read_ready(process, nodes)
    else:
        ready = []
        for i in range(nodes):
            command = [f"{args.bin}/kai-node", f"--node.name=n{i + 1}",
                       f"--storage.directory={directory}/n{i + 1}", *ports, *common]
            if ready:
                command.append(f"--cluster.seeds={ready[0]['cluster']}")
            process = side.start(command, stdout=subprocess.PIPE, text=True)
            ready += read_ready(process, 1)
    side.servers += [x["memcache"] for x in ready]
    if nodes > 1:
        settle(args, ready[0]["cluster"])


def settle(args, node):
    """While partitions move, one would measure the move."""
    command = [f"{args.bin}/kai-admin", f"--node={node}", "wait-settled", "--timeout=60s"]
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=90)
    except (OSError, subprocess.SubprocessError) as error:
        fail(f"the cluster did not settle: {error}")


def bench(args, servers, *more):
    command = [f"{args.bin}/kai-bench", f"--servers={','.join(servers)}", "--json=-", "--quiet",
               f"--connections={args.connections}", f"--value-size={args.value_size}",
               f"--keys={args.keys}", "--get-ratio=0.8", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        fail(f"{shlex.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


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
            f"{middle(1, 'p999_us') / 1000:.2f} | {wrong} |")


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
        if name not in SCENARIOS:
            parser.error(f"--scenarios: no scenario '{name}'; there are {', '.join(SCENARIOS)}")
    if min(args.rounds, args.duration, args.connections, args.keys) < 1 or args.warmup < 0:
        parser.error("--rounds, --duration, --connections and --keys are at least 1")
    return args


def main():
    args = arguments()
    # A signal ends the servers too: it becomes an exception, and `finally` stops them.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    print("| scenario | load | A req/s | B req/s | B/A median (min..max) | CPU per request B/A | "
          "get p99 ms A / B | get p99.9 ms B | failed, missed |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    raw = []
    with open(args.log, "ab") as log:
        for name in args.scenarios.split(","):
            raw += run_scenario(args, name, log)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
