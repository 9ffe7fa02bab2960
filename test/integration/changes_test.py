#!/usr/bin/env python3
"""A cluster grows, shrinks, and has members replaced while clients use it. The number of keys may be
given by the environment, KAI_TEST_KEYS, and for how many seconds clients are timed before the first
change, KAI_TEST_CALM."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import threading
import time
import unittest

from memcache import Client, check_all, set_command, store_all
from processes import BIN, PATIENCE, Nodes, TestCase, main, run, status

KEYS = int(os.environ.get("KAI_TEST_KEYS", "3000"))
CALM = float(os.environ.get("KAI_TEST_CALM", "1"))
# Between two pairs of set and get of one client: clients that leave nothing idle show how slow a
# machine is, not what moves take from it.
THINK = 0.005


class Load(threading.Thread):
    """Sets keys of its own to ever higher numbers and reads them back, through one node after the
    other, until it is stopped. What goes wrong is in `wrong`."""

    def __init__(self, name, ports):
        super().__init__(daemon=True)
        self.keys = [f"{name}-{i}".encode() for i in range(50)]
        self.ports, self.ended = ports, threading.Event()
        self.last, self.wrong, self.failed, self.done = {}, [], [], 0
        # Of each set and each get, when it began and how long it took.
        self.times = []
        self.start()

    def run(self):
        number = 0
        while not self.ended.is_set():
            port = self.ports()[number % len(self.ports())]
            try:
                with Client(port, 5) as client:
                    for key in self.keys:
                        number += 1
                        self.ask(client, key, number)
                        time.sleep(THINK)
            except OSError:
                # The node has ended: a client goes to another one.
                time.sleep(0.05)

    def ask(self, client, key, number):
        value = str(number).encode()
        # Until it is answered either may be there.
        last = self.last.get(key, (None,))
        self.last[key] = (*last, value)
        answer = self.timed(client.ask, set_command(key, value))
        if answer == b"STORED\r\n":
            self.last[key] = (value,)
        else:
            self.failed.append((key, answer))
        found = self.timed(client.get, key)
        self.done += 1
        if found.get(key) not in self.last[key]:
            self.wrong.append((key, found.get(key), self.last[key]))

    def timed(self, do, what):
        begin = time.monotonic()
        result = do(what)
        self.times.append((begin, time.monotonic() - begin))
        return result

    def end(self):
        self.ended.set()
        self.join(PATIENCE)


def percentile(sorted_times, share):
    return sorted_times[int(len(sorted_times) * share)] * 1000


class Phases:
    """What happened when, and how long requests took meanwhile."""

    def __init__(self):
        self.list = []

    @contextlib.contextmanager
    def phase(self, name):
        begin = time.monotonic()
        yield
        self.list.append((name, begin, time.monotonic()))

    def report(self, loads):
        for name, begin, end in self.list:
            times = sorted(took for load in loads for at, took in load.times if begin <= at < end)
            print(f"{name}: {end - begin:.1f} s, {len(times)} requests, p50 "
                  f"{percentile(times, 0.5):.1f} ms, p99 {percentile(times, 0.99):.1f} ms, p99.9 "
                  f"{percentile(times, 0.999):.1f} ms, longest {times[-1] * 1000:.0f} ms", flush=True)


class Changes(TestCase):
    def admin(self, node, *arguments, timeout=120):
        result = run("kai-admin", f"--node=127.0.0.1:{node.cluster}", f"--timeout={timeout}s",
                     *arguments, timeout=timeout + 5)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def members(self, node):
        return {m["name"]: m for m in json.loads(run(
            "kai-admin", f"--node=127.0.0.1:{node.cluster}", "status", "--json").stdout)["members"]}

    def test_members_come_and_go_under_load_and_nothing_is_lost(self):
        keys = [b"k%d" % i for i in range(KEYS)]
        phases = Phases()
        with Nodes(self.directory, 3) as nodes:
            first = nodes.nodes[0]
            self.admin(first, "wait-settled")
            store_all(nodes.ports(), keys, lambda key: key)
            live = list(nodes.nodes)
            loads = [Load(f"load{i}", lambda: [x.memcache for x in live]) for i in range(4)]
            seeds = ("-j", f"127.0.0.1:{first.cluster}")

            def check():
                check_all([x.memcache for x in live], keys, lambda key: key)

            with phases.phase("before"):
                time.sleep(CALM)

            with phases.phase("two join"):
                late = [nodes.start(i, *seeds, wait=False) for i in (4, 5)]
                nodes.nodes += late
                for node in late:
                    node.get_ready()
                live += late
                self.admin(first, "wait-settled")
            self.assertEqual({m["state"] for m in self.members(first).values()}, {"up"})
            check()

            with phases.phase("one leaves"):
                leaver = live.pop(1)
                self.admin(first, "leave", leaver.name)
            self.assertEqual(leaver.child.wait(5), 0)
            self.admin(first, "wait-settled")
            check()

            with phases.phase("one is removed"):
                dead = live.pop(1)
                dead.stop(signal.SIGKILL)
                self.admin(first, "remove", dead.name)
                self.admin(first, "wait-settled")
            self.assertNotIn(dead.name, self.members(first))
            check()

            with phases.phase("one is replaced"):
                wiped = live.pop(1)
                wiped.stop(signal.SIGKILL)
                number = int(wiped.name[1:])
                os.rename(self.directory / wiped.name, self.directory / "gone")
                successor = nodes.start(number, *seeds)
                nodes.nodes.append(successor)
                live.insert(1, successor)
                self.admin(first, "wait-settled")
            check()

            with phases.phase("after"):
                time.sleep(CALM)
            for load in loads:
                load.end()
            for load in loads:
                self.assertEqual(load.wrong, [])
                self.assertGreater(load.done, 100)
            phases.report(loads)
            print(f"{sum(load.done for load in loads)} pairs of set and get, "
                  f"{sum(len(load.failed) for load in loads)} sets failed", flush=True)

    def test_progress_is_told(self):
        keys = [b"k%d" % i for i in range(20000)]
        with Nodes(self.directory, 4) as nodes:
            first, leaver = nodes.nodes[0], nodes.nodes[3]
            self.admin(first, "wait-settled")
            store_all(nodes.ports(), keys, lambda key: key)
            # With clients about it takes a while.
            load = Load("load", lambda: [first.memcache])
            try:
                time.sleep(1)
                ours, theirs = pty.openpty()
                leaving = subprocess.Popen(
                    [BIN / "kai-admin", f"--node=127.0.0.1:{first.cluster}", "leave", leaver.name],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
                os.close(theirs)
                progress, moves = [], []
                while leaving.poll() is None:
                    now = status(first)["progress"]
                    if now:
                        progress.append(now)
                    moves.append(json.loads(self.admin(first, "ring", "--json"))["moves"])
                self.assertEqual(leaving.returncode, 0)
                said = os.read(ours, 1 << 16).decode()
                os.close(ours)
            finally:
                load.end()
        self.assertEqual(load.wrong, [])
        done = [x["done"] for x in progress]
        for before, after in zip(done, done[1:]):
            self.assertGreaterEqual(after, before - 1e-9, done)
        self.assertGreater(len([x for x in done if 0 < x < 1]), 3, done)
        # Null while nothing is done yet, although the first bytes are there.
        self.assertTrue(any(x["bytes_per_second"] > 0 and (x["remaining_seconds"] or 0) > 0
                            for x in progress), progress)
        for now in moves:
            for x in now:
                self.assertTrue(0 <= x["done"] <= 1, x)
                self.assertNotEqual(x["to"], leaver.name)
        self.assertTrue(any(0 < x["done"] < 1 for now in moves for x in now))
        lines = [x for x in said.split("\r") if "moved" in x]
        for line in lines:
            self.assertRegex(line, r"^\d+ % moved, [\d.]+ \w+/s(, about \d+ s to go)?; waiting for ")
        percents = [int(x.split()[0]) for x in lines]
        self.assertEqual(percents, sorted(percents))
        self.assertGreater(len(set(percents)), 3, said)
        self.assertTrue(any("s to go" in x for x in lines), said)


if __name__ == "__main__":
    main()
