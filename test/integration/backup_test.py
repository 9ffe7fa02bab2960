#!/usr/bin/env python3
"""A cluster copied into files while clients write, and back into clusters of other sizes.
KAI_TEST_KEYS says how many keys (100000 take a minute), KAI_TEST_LARGE_MB how large the large
ones are."""

import json
import os
import signal
import threading
import time

from load import Load
from memcache import Client, check_all, set_command, store_all
from processes import TestCase, main, run_admin, wait_settled

KEYS = int(os.environ.get("KAI_TEST_KEYS", "5000"))
# Three of them are more than one message between nodes may have.
LARGE_MB = int(os.environ.get("KAI_TEST_LARGE_MB", "100"))


def names(count):
    return [b"kept-%d" % i for i in range(count)]


def value_of(key):
    return key * 8


class Backup(TestCase):
    def admin(self, node, *arguments, timeout=300):
        return run_admin(node, *arguments, "--json", timeout=timeout)

    def copy(self, node, *arguments):
        begin = time.monotonic()
        done = self.admin(node, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        print(f"  {arguments[0]}: {result['keys']} keys in {time.monotonic() - begin:.1f} s",
              flush=True)
        return result

    def test_five_nodes_under_load_are_restored_into_three_and_one(self):
        five = self.cluster_in("five", 5)
        keys = names(KEYS)
        store_all(five.ports(), keys, value_of)
        with Client(five.ports()[0]) as client:
            self.assertEqual(client.ask(b"delete kept-0\r\n"), b"DELETED\r\n")
            self.assertEqual(client.ask(b"set short 7 1 2\r\nxx\r\n"), b"STORED\r\n")
            self.assertEqual(client.ask(b"set flagged 9 0 2\r\nxy\r\n"), b"STORED\r\n")
            kept = client.ask(b"gets flagged\r\n")
        time.sleep(1.2)
        to = self.directory / "copy"
        with Load(five.ports()) as load:
            copied = self.copy(five.nodes[0], "backup", str(to))
        # How fast clients are beside it depends on the machine; nothing is lost or stale on any.
        self.assertEqual([x for x in load.judgement()
                          if "requests failed" not in x and "without a success" not in x], [])
        self.assertGreaterEqual(copied["keys"], KEYS)
        self.assertEqual(json.loads((to / "backup.json").read_text())["keys"], copied["keys"])
        three = self.cluster_in("three", 3, "--cluster.partitions=64")
        one = self.cluster_in("one", 1, "--cluster.replicas=1", "--cluster.read-quorum=1",
                           "--cluster.write-quorum=1")
        # What a cluster has and is newer stays.
        with Client(three.ports()[0]) as client:
            self.assertEqual(client.ask(set_command(b"kept-1", b"newer")), b"STORED\r\n")
        for nodes in (three, one):
            restored = self.copy(nodes.nodes[0], "restore", str(to))
            self.assertEqual(restored["keys"], copied["keys"])
            check_all(nodes.ports(), keys[2:], value_of)
            for port in nodes.ports():
                with Client(port) as client:
                    self.assertEqual(client.get(b"kept-0"), {})
                    self.assertEqual(client.get(b"short"), {})
                    answer = client.ask(b"gets flagged\r\n")
                    self.assertEqual(answer, kept)
        with Client(three.ports()[1]) as client:
            self.assertEqual(client.get(b"kept-1"), {b"kept-1": b"newer"})
        # Twice does no harm.
        self.copy(three.nodes[1], "restore", str(to))
        with Client(three.ports()[1]) as client:
            self.assertEqual(client.get(b"kept-1"), {b"kept-1": b"newer"})

    def test_a_node_that_dies_or_hangs_meanwhile_is_done_without(self):
        nodes, keys = self.cluster_in("five", 5), names(KEYS)
        store_all(nodes.ports(), keys, value_of)
        wait_settled(nodes.nodes[0])
        for name, strike, end in (
                ("killed", lambda: nodes.kill(3), lambda: nodes.again(3)),
                ("stopped", lambda: nodes.nodes[3].child.send_signal(signal.SIGSTOP),
                 lambda: nodes.nodes[3].child.send_signal(signal.SIGCONT))):
            timer = threading.Timer(0.3, strike)
            timer.start()
            copied = self.copy(nodes.nodes[0], "backup", str(self.directory / name),
                               "--timeout=2s")
            timer.join()
            end()
            self.assertEqual(copied["keys"], KEYS)
            wait_settled(nodes.nodes[0])

    def test_what_can_not_be_copied_says_so_and_leaves_no_backup(self):
        nodes = self.cluster_in("three", 3)
        store_all(nodes.ports(), names(50), value_of)
        to = self.directory / "copy"
        self.assertRegex(self.admin(nodes.nodes[0], "restore", str(to)).stderr,
                         "holds no whole backup")
        full = self.directory / "full"
        full.mkdir()
        (full / "file").touch()
        self.assertRegex(self.admin(nodes.nodes[0], "backup", str(full)).stderr, "not empty")
        self.copy(nodes.nodes[0], "backup", str(to))
        damaged = max(to.glob("partition-*"), key=lambda x: x.stat().st_size)
        data = bytearray(damaged.read_bytes())
        data[len(data) // 2] ^= 1
        damaged.write_bytes(data)
        failed = self.admin(nodes.nodes[0], "restore", str(to))
        self.assertEqual(failed.returncode, 1)
        self.assertRegex(failed.stderr, f"{damaged.name} is damaged")
        # Nobody would see what came before a flush_all.
        whole = self.directory / "whole"
        self.copy(nodes.nodes[0], "backup", str(whole))
        with Client(nodes.ports()[0]) as client:
            self.assertEqual(client.ask(b"flush_all\r\n"), b"OK\r\n")
        failed = self.admin(nodes.nodes[0], "restore", str(whole))
        self.assertEqual(failed.returncode, 1)
        self.assertRegex(failed.stderr, "a flush_all came after the backup of 50 of the 50 keys")
        nodes.kill(2, 3)
        again = self.directory / "again"
        failed = self.admin(nodes.nodes[0], "backup", str(again), timeout=1)
        self.assertEqual(failed.returncode, 1)
        self.assertRegex(failed.stderr, "1 of 3 replicas answered, 2 needed")
        self.assertFalse((again / "backup.json").exists())

    def test_large_values_of_one_partition_are_copied(self):
        options = ("--cluster.replicas=1", "--cluster.read-quorum=1", "--cluster.write-quorum=1",
                   "--cluster.partitions=1", "--memcache.max-item-size=128m",
                   "--storage.engine=memory")
        large = self.cluster_in("large", 1, *options)
        values = {b"large-%d" % i: os.urandom(1 << 20) * LARGE_MB for i in range(3)}
        with Client(large.ports()[0], 60) as client:
            for key, value in values.items():
                self.assertEqual(client.ask(set_command(key, value)), b"STORED\r\n")
        to = self.directory / "copy"
        self.assertEqual(self.copy(large.nodes[0], "backup", str(to))["keys"], 3)
        large.kill(1)
        again = self.cluster_in("again", 1, *options)
        self.copy(again.nodes[0], "restore", str(to))
        with Client(again.ports()[0], 60) as client:
            for key, value in values.items():
                self.assertTrue(client.get(key) == {key: value}, key)

    def test_a_cache_can_not_be_copied(self):
        cache = self.cluster_in("cache", 1, "--cluster.replicas=1", "--storage.engine=memory",
                                "--storage.memory-limit=8m", "--storage.evict=lru")
        begin = time.monotonic()
        failed = self.admin(cache.nodes[0], "backup", str(self.directory / "copy"))
        self.assertEqual(failed.returncode, 1)
        self.assertRegex(failed.stderr, "a node that evicts keeps no Merkle trees")
        self.assertLess(time.monotonic() - begin, 5)


if __name__ == "__main__":
    main()
