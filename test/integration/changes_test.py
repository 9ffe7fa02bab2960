#!/usr/bin/env python3
"""A cluster grows, shrinks, and has members replaced while clients use it. The number of keys may be
given by the environment, KAI_TEST_KEYS."""

import json
import os
import signal
import threading
import time
import unittest

from memcache import Client, check_all, set_command, store_all
from processes import PATIENCE, Nodes, TestCase, main, run

KEYS = int(os.environ.get("KAI_TEST_KEYS", "3000"))


class Load(threading.Thread):
    """Sets keys of its own to ever higher numbers and reads them back, through one node after the
    other, until it is stopped. What goes wrong is in `wrong`."""

    def __init__(self, name, ports):
        super().__init__(daemon=True)
        self.keys = [f"{name}-{i}".encode() for i in range(50)]
        self.ports, self.ended = ports, threading.Event()
        self.last, self.wrong, self.failed, self.done, self.slowest = {}, [], [], 0, []
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
            except OSError:
                # The node has ended: a client goes to another one.
                time.sleep(0.05)

    def ask(self, client, key, number):
        value = str(number).encode()
        begin = time.monotonic()
        # Until it is answered either may be there.
        last = self.last.get(key, (None,))
        self.last[key] = (*last, value)
        answer = client.ask(set_command(key, value))
        if answer == b"STORED\r\n":
            self.last[key] = (value,)
        else:
            self.failed.append((key, answer))
        found = client.get(key)
        self.slowest.append(time.monotonic() - begin)
        self.done += 1
        if found.get(key) not in self.last[key]:
            self.wrong.append((key, found.get(key), self.last[key]))

    def end(self):
        self.ended.set()
        self.join(PATIENCE)


class Changes(TestCase):
    def admin(self, node, *arguments, timeout=120):
        result = run("kai-admin", f"--node=127.0.0.1:{node.cluster}", f"--timeout={timeout}s",
                     *arguments, timeout=timeout + 5)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def refused(self, node, *arguments):
        result = run("kai-admin", f"--node=127.0.0.1:{node.cluster}", *arguments)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        return result.stderr

    def members(self, node):
        return {m["name"]: m for m in json.loads(run(
            "kai-admin", f"--node=127.0.0.1:{node.cluster}", "status", "--json").stdout)["members"]}

    def timed(self, what, begin):
        print(f"{what}: {time.monotonic() - begin:.1f} s", flush=True)

    def test_members_come_and_go_under_load_and_nothing_is_lost(self):
        keys = [b"k%d" % i for i in range(KEYS)]
        with Nodes(self.directory, 3) as nodes:
            first = nodes.nodes[0]
            self.admin(first, "wait-settled")
            store_all(nodes.ports(), keys, lambda key: key)
            live = list(nodes.nodes)
            loads = [Load(f"load{i}", lambda: [x.memcache for x in live]) for i in range(4)]
            seeds = ("-j", f"127.0.0.1:{first.cluster}")

            begin = time.monotonic()
            late = [nodes.start(i, *seeds, wait=False) for i in (4, 5)]
            nodes.nodes += late
            for node in late:
                node.get_ready()
            live += late
            self.admin(first, "wait-settled")
            self.assertEqual({m["state"] for m in self.members(first).values()}, {"up"})
            self.timed("two joined", begin)
            check_all([x.memcache for x in live], keys, lambda key: key)

            begin = time.monotonic()
            leaver = live.pop(1)
            self.admin(first, "leave", leaver.name)
            self.timed("one left", begin)
            self.assertEqual(leaver.child.wait(5), 0)
            self.admin(first, "wait-settled")
            check_all([x.memcache for x in live], keys, lambda key: key)

            begin = time.monotonic()
            dead = live.pop(1)
            dead.stop(signal.SIGKILL)
            self.admin(first, "remove", dead.name)
            self.admin(first, "wait-settled")
            self.timed("one removed", begin)
            self.assertNotIn(dead.name, self.members(first))
            check_all([x.memcache for x in live], keys, lambda key: key)

            begin = time.monotonic()
            wiped = live.pop(1)
            wiped.stop(signal.SIGKILL)
            number = int(wiped.name[1:])
            os.rename(self.directory / wiped.name, self.directory / "gone")
            successor = nodes.start(number, *seeds)
            nodes.nodes.append(successor)
            live.insert(1, successor)
            self.admin(first, "wait-settled")
            self.timed("one replaced", begin)
            check_all([x.memcache for x in live], keys, lambda key: key)

            for load in loads:
                load.end()
            for load in loads:
                self.assertEqual(load.wrong, [])
                self.assertGreater(load.done, 100)
            worst = sorted(x for load in loads for x in load.slowest)
            print(f"{sum(load.done for load in loads)} pairs of set and get, p99 "
                  f"{worst[len(worst) * 99 // 100] * 1000:.0f} ms; "
                  f"{sum(len(load.failed) for load in loads)} sets failed", flush=True)

    def test_what_can_not_be_is_refused_in_one_line_and_changes_nothing(self):
        with Nodes(self.directory, 3) as nodes:
            first = nodes.nodes[0]
            self.admin(first, "wait-settled")
            before = run("kai-admin", f"--node=127.0.0.1:{first.cluster}", "ring", "--json").stdout
            self.assertIn("no member 'n9'", self.refused(first, "leave", "n9"))
            self.assertIn("no member 'n9'", self.refused(first, "remove", "n9"))
            self.assertIn("is alive", self.refused(first, "remove", "n2"))
            self.assertIn("no change", self.refused(first, "abort"))
            self.assertIn("no member 'n9'", self.refused(first, "plan", "leave", "n9"))
            plan = json.loads(self.admin(first, "plan", "join", "127.0.0.1:1", "--json"))
            self.assertEqual(plan["partitions"], 256 * 3 // 4)
            self.assertEqual(before, run("kai-admin", f"--node=127.0.0.1:{first.cluster}", "ring",
                                         "--json").stdout)

    def test_the_last_member_can_not_leave(self):
        with Nodes(self.directory, 1) as nodes:
            self.assertIn("last member", self.refused(nodes.nodes[0], "leave", "n1", "--force"))

    def test_a_whole_zone_may_die(self):
        keys = [b"k%d" % i for i in range(1000)]
        nodes = []
        try:
            for i in range(6):
                seeds = ["-j", f"127.0.0.1:{nodes[0].cluster}"] if nodes else []
                nodes.append(Nodes.start(self, i, f"--node.zone=z{i % 3}", *seeds))
            self.admin(nodes[0], "wait-settled")
            for x in json.loads(self.admin(nodes[0], "ring", "--json"))["partitions"]:
                self.assertEqual(len({int(name[1:]) % 3 for name in x["replicas"]}), 3)
            store_all([x.memcache for x in nodes], keys, lambda key: key)
            for i in (1, 4):
                nodes[i].stop(signal.SIGKILL)
            time.sleep(1.5)
            live = [x.memcache for i, x in enumerate(nodes) if i % 3 != 1]
            check_all(live, keys, lambda key: key)
            store_all(live, keys, lambda key: key + b"2")
            check_all(live, keys, lambda key: key + b"2")
        finally:
            for node in nodes:
                node.__exit__()

    arguments = ()


if __name__ == "__main__":
    main()
