#!/usr/bin/env python3
"""What staying alive costs, measured: see README.md beside this file.

    cost.py BIN idle [SECONDS]         CPU of an idle five-node cluster
    cost.py BIN restart [KEYS]         how soon a node with so many keys serves again
    cost.py BIN pair OTHER_BIN [ROUNDS]  throughput of five nodes, of two builds in turns"""

import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

# Takes BIN off the arguments when it is imported.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import processes
from memcache import Client, check_all, store_all
from processes import Node, Nodes, wait_settled
from tempfile import TemporaryDirectory

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(node):
    with open(f"/proc/{node.child.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def idle(directory, seconds="30"):
    with Nodes(directory, 5) as nodes:
        keys = [b"idle-%d" % i for i in range(10_000)]
        store_all(nodes.ports(), keys, lambda key: key * 50)
        wait_settled(nodes.nodes[0])
        time.sleep(5)
        before = sum(cpu_seconds(x) for x in nodes.nodes)
        time.sleep(float(seconds))
        used = sum(cpu_seconds(x) for x in nodes.nodes) - before
    print(f"five idle nodes used {used:.2f} s of CPU in {seconds} s: "
          f"{100 * used / float(seconds):.1f} % of one core")


def restart(directory, keys="1000000"):
    count = int(keys)
    names = [b"restart-%07d" % i for i in range(count)]
    node = Node(directory / "n1", "--node.name=n1")
    begin = time.monotonic()
    store_all([node.memcache], names, lambda key: key * 6, 500)
    print(f"{count} keys stored in {time.monotonic() - begin:.1f} s", flush=True)
    for how, name in ((signal.SIGTERM, "SIGTERM"), (signal.SIGKILL, "SIGKILL")):
        time.sleep(1)
        node.stop(how)
        node.__exit__()
        begin = time.monotonic()
        node = Node(directory / "n1", "--node.name=n1")
        ready = time.monotonic() - begin
        check_all([node.memcache], names[::1000], lambda key: key * 6)
        print(f"after {name}: ready after {ready:.2f} s, 1000 keys read after "
              f"{time.monotonic() - begin:.2f} s", flush=True)
    node.__exit__()


def load(nodes, prefix, seconds):
    """One run of kai-bench, clients on all nodes; requests per second."""
    servers = ",".join(f"127.0.0.1:{port}" for port in nodes.ports())
    out = nodes.directory / "run.json"
    subprocess.run([processes.BIN / "kai-bench", f"--servers={servers}", f"--duration={seconds}s",
                    "--warmup=500ms", f"--key-prefix={prefix}", "--preload", f"--json={out}"],
                   check=True, stdout=subprocess.DEVNULL)
    return json.loads(out.read_text())["requests_per_second"]


def pair(directory, other, rounds="8"):
    first, second = processes.BIN, pathlib.Path(other).resolve()
    sides = []
    for name, binaries in (("a", first), ("b", second)):
        processes.BIN = binaries
        (directory / name).mkdir()
        sides.append(Nodes(directory / name, 5, "--storage.engine=memory"))
        wait_settled(sides[-1].nodes[0])
    processes.BIN = first
    ratios = []
    for i in range(int(rounds)):
        # Who begins alternates.
        speeds = {}
        for side in ((0, 1), (1, 0))[i % 2]:
            speeds[side] = load(sides[side], "pair:", 3)
        ratios.append(speeds[1] / speeds[0])
        print(f"A {speeds[0]:.0f}, B {speeds[1]:.0f} requests/s, B/A {ratios[-1]:.3f}", flush=True)
    print(f"B/A median {statistics.median(ratios):.3f} ({min(ratios):.3f}..{max(ratios):.3f})")
    for side in sides:
        side.__exit__()


def main():
    what = {"idle": idle, "restart": restart, "pair": pair}.get(sys.argv[1] if sys.argv[1:] else "")
    if not what:
        sys.exit(__doc__)
    with TemporaryDirectory(prefix="kai-cost-") as scratch:
        what(pathlib.Path(scratch), *sys.argv[2:])


if __name__ == "__main__":
    main()
