"""What kai is to reach beside ratios to memcached: one measurement each, against its bar."""

import contextlib
import os
import pathlib
import statistics
import tempfile
import threading
import time

from servers import Side, bench, fail, start_kai, start_plain

HEADER = "| bar | measured | wanted |\n|---|---|---|"


@contextlib.contextmanager
def cluster(args, log, nodes, engine, *more):
    """kai nodes in a directory of their own, and that directory."""
    side = Side(log)
    with tempfile.TemporaryDirectory(prefix="kai-bench-") as directory:
        try:
            start_kai(side, args, nodes, engine, directory, *more)
            yield side, pathlib.Path(directory)
        finally:
            side.stop()


def run_for(args, servers, *more):
    return bench(args, servers, f"--duration={args.duration}s", f"--warmup={args.warmup}s", *more)


def preload(args, servers, *more):
    bench(args, servers[:1], "--preload", "--duration=0s", "--pipeline=16", *more)


def interleaved(args, first, second, *more):
    """Medians of requests per second of two lists of servers, measured in turns."""
    rates = ([], [])
    for i in range(args.rounds):
        for servers, found in zip((first, second), rates):
            found.append(run_for(args, servers, f"--seed={i}", *more)["requests_per_second"])
    return [statistics.median(x) for x in rates]


def memory(args, log):
    """An empty node, and what a small item takes."""
    items = 1_000_000
    load = (f"--keys={items}", "--value-size=100", "--connections=8")
    taken = []
    kai = cluster(args, log, 1, "memory")
    other = Side(log)
    with kai as (side, _):
        time.sleep(1)
        empty = side.resident_bytes()
        yield "empty node, resident", f"{empty / 1e6:.1f} MB", "30 MB"
        try:
            start_plain(other, args.a_command)
            for x in (other, side):
                before = x.resident_bytes()
                preload(args, x.servers, *load)
                taken.append((x.resident_bytes() - before) / items)
        finally:
            other.stop()
    yield ("memory per item of 100 bytes, as memcached's",
           f"{taken[1] / taken[0]:.2f} ({taken[1]:.0f} to {taken[0]:.0f} bytes)", "<= 1.6")


def engines(args, log):
    """Five nodes over LevelDB, as fast as over memory?"""
    with cluster(args, log, 5, "memory") as (fast, _):
        with cluster(args, log, 5, "leveldb") as (durable, _):
            for x in (fast, durable):
                preload(args, x.servers)
            rates = interleaved(args, fast.servers, durable.servers)
    yield ("five nodes, LevelDB, sync=interval, as the memory engine's",
           f"{rates[1] / rates[0]:.2f} ({rates[1]:,.0f} to {rates[0]:,.0f}/s)", ">= 0.6")


def syncs_per_second(directory, size, seconds):
    """One write and one fsync after the other, of a file that grows, as a log does: over what is
    there already the file system has less to write."""
    fd = os.open(directory / "syncs", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        end = time.monotonic() + seconds
        count = 0
        while time.monotonic() < end:
            os.write(fd, b"x" * size)
            os.fdatasync(fd)
            count += 1
        return count / seconds
    finally:
        os.close(fd)


def always(args, log):
    """Writes that wait for the disk share its syncs."""
    found, found_alone = [], []
    with cluster(args, log, 1, "leveldb", "--storage.sync=always") as (side, directory):
        for i in range(args.rounds):
            found_alone.append(syncs_per_second(directory, int(args.value_size), args.duration))
            result = run_for(args, side.servers, "--get-ratio=0", f"--seed={i}")
            found.append(result["requests_per_second"])
    rate, alone = statistics.median(found), statistics.median(found_alone)
    yield ("one node, LevelDB, sync=always, sets, as one sync per write",
           f"{rate / alone:.1f} ({rate:,.0f} to {alone:,.0f}/s)", ">= 5")


def keys(args, log):
    """A thousand keys, and a million."""
    few, many = 1000, 1_000_000
    with cluster(args, log, 1, "leveldb") as (small, _):
        with cluster(args, log, 1, "leveldb") as (large, _):
            rates = ([], [])
            for side, count in ((small, few), (large, many)):
                preload(args, side.servers, f"--keys={count}")
            for i in range(args.rounds):
                for side, count, found in zip((small, large), (few, many), rates):
                    found.append(run_for(args, side.servers, f"--keys={count}", f"--seed={i}")
                                 ["requests_per_second"])
    few_rate, many_rate = (statistics.median(x) for x in rates)
    yield ("1,000,000 keys on LevelDB, as 1,000 keys",
           f"{many_rate / few_rate:.2f} ({many_rate:,.0f} to {few_rate:,.0f}/s)", ">= 0.7")


def connections(args, log):
    with cluster(args, log, 1, "memory") as (side, _):
        preload(args, side.servers)
        rates = ([], [])
        for _ in range(args.rounds):
            for count, found in zip((10, 1000), rates):
                found.append(run_for(args, side.servers, f"--connections={count}")
                             ["requests_per_second"])
    few, many = (statistics.median(x) for x in rates)
    yield ("1,000 connections, as 10", f"{many / few:.2f} ({many:,.0f} to {few:,.0f}/s)", ">= 0.7")


def growth(args, log):
    """CPU per request of three and of eight nodes, with as many connections per node."""
    found = {3: [], 8: []}
    with cluster(args, log, 3, "memory") as (few, _), cluster(args, log, 8, "memory") as (many, _):
        for side in (few, many):
            preload(args, side.servers)
        for i in range(args.rounds):
            for side, (nodes, costs) in zip((few, many), found.items()):
                before = side.cpu_seconds()
                result = run_for(args, side.servers, f"--connections={10 * nodes}", f"--seed={i}")
                costs.append((side.cpu_seconds() - before) / result["totals"]["requests_answered"])
    costs = [statistics.median(x) * 1e6 for x in found.values()]
    yield ("CPU per request on 8 nodes, as on 3",
           f"{costs[1] / costs[0]:.2f} ({costs[1]:.1f} to {costs[0]:.1f} us)", "<= 1.75")


def failure(args, log):
    """Five nodes at 40 % of their peak, one of which is killed and comes back."""
    with cluster(args, log, 5, "leveldb") as (side, _):
        preload(args, side.servers)
        clients = side.servers[:4]
        peak = run_for(args, clients)["requests_per_second"]
        victim = side.processes[4]

        def kill_and_restart():
            victim.kill()
            victim.wait()
            time.sleep(4)
            side.processes[4] = side.start(victim.args, stdout=log)

        timer = threading.Timer(4, kill_and_restart)
        timer.start()
        result = bench(args, clients, f"--rate={0.4 * peak:.0f}", "--duration=15s", "--warmup=1s")
        timer.join()
    gets, sets = (result[x]["latency_us"] for x in ("gets", "sets"))
    failed = sum(result[x][y] for x in ("gets", "sets") for y in ("errors", "timeouts", "lost"))
    yield ("one of five killed and restarted, at 40 % of the peak: average read, average write",
           f"{gets['mean'] / 1000:.2f} ms, {sets['mean'] / 1000:.2f} ms", "< 15 ms, < 30 ms")
    yield ("the same: 99.9 % of reads, of writes; failed requests",
           f"{gets['p999'] / 1000:.1f} ms, {sets['p999'] / 1000:.1f} ms; {failed}", "< 300 ms")


BARS = {x.__name__: x for x in (memory, engines, always, keys, connections, growth, failure)}


def run(args, name, log):
    rows = []
    for what, measured, wanted in BARS[name](args, log):
        print(f"| {what} | {measured} | {wanted} |", flush=True)
        rows.append({"bar": what, "measured": measured, "wanted": wanted})
    if not rows:
        fail(f"{name} measured nothing")
    return [{"scenario": name, "rows": rows}]
