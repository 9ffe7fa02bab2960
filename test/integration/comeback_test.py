#!/usr/bin/env python3
"""A node that was killed, emptied, put back from an old copy, damaged or away for too long comes
back: it has what it is to have, by itself, and nothing comes back from the dead."""

import random
import shutil
import signal
import time

from memcache import Client, check_all, set_command, store_all
from processes import (PATIENCE, Nodes, TestCase, admin, await_status, free_port, locate, main,
                       member, status, wait_settled)


def names(prefix, count):
    return [b"%s-%d" % (prefix, i) for i in range(count)]


def first(key):
    return key * 20


def second(key):
    return b"second " + key * 10


def delete_all(port, keys):
    with Client(port) as client:
        for key in keys:
            if (answer := client.ask(b"delete " + key + b"\r\n")) != b"DELETED\r\n":
                raise AssertionError(f"delete {key!r}: {answer!r}")


def stat(node, name):
    with Client(node.memcache) as client:
        return int(client.stats()[name])


def await_stat(node, name, value, seconds=20):
    end = time.monotonic() + seconds
    while (now := stat(node, name)) != value:
        if time.monotonic() > end:
            raise AssertionError(f"{node.name}: {name} stays {now}, not {value}")
        time.sleep(0.1)


class Comeback(TestCase):
    """Three nodes, of which each holds everything: what one of them has is seen in its counts, and
    nobody can stand in for it."""

    def cluster(self, *arguments):
        nodes = Nodes(self.directory, 3, *arguments)
        self.addCleanup(nodes.__exit__)
        wait_settled(nodes.nodes[0])
        return nodes

    def check_gone(self, nodes, keys):
        for port in nodes.ports():
            with Client(port) as client:
                self.assertEqual(client.get(*keys), {})

    def test_a_cluster_that_comes_back_on_other_addresses_finds_itself_through_seeds(self):
        nodes, keys = self.cluster(), names(b"moved", 200)
        store_all(nodes.ports(), keys, first)
        nodes.end_all(signal.SIGTERM)
        for old in nodes.nodes:
            old.__exit__()
        ports = [free_port() for _ in nodes.nodes]
        self.assertFalse(set(ports) & {old.cluster for old in nodes.nodes})
        seeds = ",".join(f"127.0.0.1:{port}" for port in ports)
        nodes.nodes = [nodes.start(i, f"--cluster.port={port}", f"--cluster.seeds={seeds}",
                                   wait=False) for i, port in enumerate(ports, 1)]
        for node in nodes.nodes:
            node.get_ready()
        wait_settled(nodes.nodes[0])
        self.assertEqual([f"127.0.0.1:{port}" for port in ports],
                         [member(status(nodes.nodes[0]), f"n{i}")["cluster"] for i in (1, 2, 3)])
        check_all(nodes.ports(), keys, first)

    def check_settled(self, nodes, keys, value_of, gone=()):
        """Settled, each replica has the same, by kai-admin and for clients of each node."""
        wait_settled(nodes.nodes[0])
        now = status(nodes.nodes[1])
        self.assertTrue(now["settled"])
        self.assertEqual({(x["state"], x["keys"]) for x in now["members"]}, {("up", len(keys))})
        check_all(nodes.ports(), keys, value_of)
        for key in random.Random(1).sample(list(keys), min(3, len(keys))):
            found = locate(nodes.nodes[0], key.decode())
            self.assertEqual(len(found), 3)
            self.assertEqual(len({x["version"] for x in found.values()}), 1, found)
            self.assertEqual({x["bytes"] for x in found.values()}, {len(value_of(key))})
        if gone:
            self.check_gone(nodes, gone)

    def check_alone_with(self, nodes, number, keys, value_of):
        """The node itself answers: with one of the others, then the other of them."""
        for other in {1, 2, 3} - {number}:
            nodes.kill(other)
            check_all([nodes.nodes[number - 1].memcache], keys, value_of)
            nodes.again(other)
            wait_settled(nodes.nodes[number - 1])

    def test_a_killed_node_comes_back_with_its_data(self):
        nodes, keys = self.cluster("--storage.sync=always"), names(b"killed", 2000)
        store_all(nodes.ports(), keys, first)
        wait_settled(nodes.nodes[0])
        nodes.kill(2)
        down = await_status(nodes.nodes[0], lambda x: member(x, "n2")["state"] == "down")
        self.assertFalse(down["settled"])
        self.assertRegex(" ".join(down["waiting_for"]), r"n2 is down since \S+Z")
        self.assertEqual({x["version"] for name, x in locate(nodes.nodes[0], "killed-1").items()
                          if name == "n2"}, {None})
        nodes.again(2)
        self.check_settled(nodes, keys, first)
        # It had everything: nobody sent it anything.
        self.assertEqual(stat(nodes.nodes[1], "kai_sync_keys_received"), 0)

    def test_an_emptied_directory_is_refilled(self):
        nodes, keys = self.cluster(), names(b"wiped", 20000)
        store_all(nodes.ports(), keys, first)
        wait_settled(nodes.nodes[0])
        nodes.kill(2)
        nodes.wipe(2)
        nodes.again(2, wait=False)
        # While it is refilled it says so, how far it is, and misses nothing.
        seen = await_status(nodes.nodes[0], lambda x: member(x, "n2")["state"] == "recovering")
        self.assertRegex(" ".join(seen["waiting_for"]),
                         r"n2 is recovering: \d+ of 256 partitions to go")
        nodes.nodes[1].get_ready()
        check_all([nodes.nodes[1].memcache], keys, first)
        self.check_settled(nodes, keys, first)
        self.check_alone_with(nodes, 2, keys, first)

    def test_a_node_in_memory_is_refilled(self):
        nodes, keys = self.cluster("--storage.engine=memory"), names(b"memory", 3000)
        store_all(nodes.ports(), keys, first)
        nodes.kill(3)
        nodes.again(3)
        self.check_settled(nodes, keys, first)
        self.check_alone_with(nodes, 3, keys, first)

    def test_a_directory_put_back_from_a_copy_brings_nothing_back(self):
        nodes = self.cluster()
        deleted, changed, expired = (names(x, 500) for x in (b"deleted", b"changed", b"expired"))
        store_all(nodes.ports(), deleted + changed + expired, first)
        wait_settled(nodes.nodes[0])
        nodes.nodes[1].stop()
        copy = self.directory / "copy"
        shutil.copytree(nodes.disk(2), copy)
        nodes.again(2)
        delete_all(nodes.nodes[0].memcache, deleted)
        store_all(nodes.ports(), changed, second)
        with Client(nodes.nodes[2].memcache) as client:
            for key in expired:
                self.assertEqual(client.ask(b"touch " + key + b" 1\r\n"), b"TOUCHED\r\n")
        nodes.kill(2)
        nodes.wipe(2)
        shutil.copytree(copy, nodes.disk(2))
        time.sleep(1)
        nodes.again(2)
        self.check_gone(nodes, deleted + expired)
        check_all(nodes.ports(), changed, second)
        wait_settled(nodes.nodes[0])
        self.check_gone(nodes, deleted + expired)
        check_all(nodes.ports(), changed, second)
        # It alone, with either of the others.
        for other in (1, 3):
            nodes.kill(other)
            check_all([nodes.nodes[1].memcache], changed, second)
            with Client(nodes.nodes[1].memcache) as client:
                self.assertEqual(client.get(*deleted, *expired), {})
            nodes.again(other)
            wait_settled(nodes.nodes[1])

    def test_a_damaged_database_is_set_aside_and_refilled(self):
        nodes, keys = self.cluster(), names(b"damaged", 3000)
        store_all(nodes.ports(), keys, first)
        wait_settled(nodes.nodes[0])
        nodes.nodes[1].stop()
        for manifest in nodes.disk(2).glob("vnode-*/MANIFEST-*"):
            manifest.write_bytes(b"\xff" * manifest.stat().st_size)
        nodes.again(2)
        self.check_settled(nodes, keys, first)
        self.assertIn("damaged", nodes.nodes[1].errors())
        aside = list(nodes.disk(2).glob("*.damaged-*"))
        self.assertNotEqual(aside, [])
        self.check_alone_with(nodes, 2, keys, first)

    def test_tables_of_which_something_is_missing_are_replaced(self):
        nodes, keys = self.cluster(), names(b"cut", 3000)
        store_all(nodes.ports(), keys, first)
        wait_settled(nodes.nodes[0])
        for damage in (lambda data: data[:-100], lambda data: b"", lambda data: bytes(len(data))):
            for _ in range(2):
                # Its log becomes a table.
                nodes.nodes[1].stop()
                nodes.again(2)
            nodes.nodes[1].stop()
            tables = list(nodes.disk(2).glob("vnode-*/*.ldb"))
            self.assertNotEqual(tables, [])
            for table in tables:
                table.write_bytes(damage(table.read_bytes()))
            nodes.again(2)
            check_all(nodes.ports(), keys, first)
            self.assertGreater(stat(nodes.nodes[1], "kai_records_damaged"), 0)
            # Damage is noticed as it is read over, and puts its partition behind, which sync hears
            # of within a second: it may say settled in between.
            end = time.monotonic() + PATIENCE
            wait_settled(nodes.nodes[0])
            time.sleep(2.5)
            while not status(nodes.nodes[0])["settled"]:
                self.assertLess(time.monotonic(), end)
                wait_settled(nodes.nodes[0])
                time.sleep(2.5)
            self.check_settled(nodes, keys, first)
            self.check_alone_with(nodes, 2, keys, first)

    def test_corrupted_files_are_filtered(self):
        nodes, keys = self.cluster(), names(b"corrupt", 4000)
        store_all(nodes.ports(), keys, lambda key: first(key) * 5)
        wait_settled(nodes.nodes[0])
        nodes.nodes[1].stop()
        dice, flips = random.Random(7), 0
        for file in nodes.disk(2).glob("vnode-*/*"):
            if file.suffix not in (".log", ".ldb"):
                continue
            data = bytearray(file.read_bytes())
            for _ in range(len(data) // 20000):
                data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
                flips += 1
            file.write_bytes(data)
        self.assertGreater(flips, 10)
        nodes.again(2)
        # No wrong value from the first moment on, and in the end all of them.
        for _ in range(3):
            check_all(nodes.ports(), keys, lambda key: first(key) * 5)
        self.check_settled(nodes, keys, lambda key: first(key) * 5)
        self.check_alone_with(nodes, 2, keys, lambda key: first(key) * 5)

    def test_a_node_away_for_longer_than_the_grace_starts_empty_and_is_refilled(self):
        nodes = self.cluster("--storage.grace=2s")
        kept, deleted = names(b"kept", 1000), names(b"deleted", 500)
        store_all(nodes.ports(), kept + deleted, first)
        wait_settled(nodes.nodes[0])
        nodes.kill(3)
        delete_all(nodes.nodes[0].memcache, deleted)
        time.sleep(4)
        nodes.again(3)
        self.assertRegex(nodes.nodes[2].errors(), "longer than storage.grace.*dropped")
        self.check_settled(nodes, kept, first, gone=deleted)
        # Everybody has been in sync since the deletes: their marks go, and nothing comes back.
        for node in nodes.nodes:
            await_stat(node, "kai_tombstones", 0)
        self.assertGreater(sum(stat(x, "kai_tombstones_reaped") for x in nodes.nodes), 0)
        self.check_settled(nodes, kept, first, gone=deleted)

    def test_nodes_that_were_all_away_for_longer_than_the_grace_keep_everything(self):
        nodes, keys = self.cluster("--storage.grace=1s"), names(b"outage", 500)
        store_all(nodes.ports(), keys, first)
        self.assertEqual(nodes.end_all(signal.SIGTERM), [0] * 3)
        time.sleep(2.5)
        nodes.start_all()
        self.check_settled(nodes, keys, first)
        # One of them alone can not know whether the others went on: it waits for a majority.
        nodes.kill(1, 2, 3)
        time.sleep(2.5)
        nodes.again(2, wait=False)
        time.sleep(1)
        self.assertIn("waiting for a majority", nodes.nodes[1].errors())
        nodes.again(3)
        nodes.nodes[1].get_ready()
        nodes.again(1)
        self.check_settled(nodes, keys, first)

    def test_the_survivor_of_a_lost_majority_is_freed_as_its_warning_says(self):
        nodes, keys = self.cluster("--storage.grace=1s"), names(b"survivor", 500)
        store_all(nodes.ports(), keys, first)
        wait_settled(nodes.nodes[0])
        nodes.kill(1, 2, 3)
        time.sleep(2.5)
        alone = nodes.again(2, wait=False)
        end = time.monotonic() + 20
        while "waiting for a majority" not in alone.errors() and time.monotonic() < end:
            time.sleep(0.1)
        self.assertIn("start those that are left with a larger --storage.grace than they were off, "
                      "and give up the others with `kai-admin remove NAME --force`", alone.errors())
        alone.stop()
        alone = nodes.again(2, "--storage.grace=1h")
        for name in ("n1", "n3"):
            await_status(alone, lambda x: member(x, name)["state"] == "down")
            self.assertIsNotNone(admin(alone, "remove", name, "--force"))
        wait_settled(alone)
        self.assertEqual([x["name"] for x in status(alone)["members"]], ["n2"])
        check_all([alone.memcache], keys, first)

    def test_delete_marks_stay_while_a_replica_is_away_and_go_when_it_was_in_sync(self):
        nodes = self.cluster("--storage.grace=4s")
        deleted, expired = names(b"deleted", 300), names(b"expired", 300)
        store_all(nodes.ports(), deleted, first)
        with Client(nodes.nodes[0].memcache) as client:
            for key in expired:
                client.send(set_command(key, first(key)).replace(b" 0 0 ", b" 0 2 "))
            for key in expired:
                self.assertEqual(client.line(), b"STORED\r\n")
        wait_settled(nodes.nodes[0])
        nodes.kill(2)
        delete_all(nodes.nodes[0].memcache, deleted)
        time.sleep(2)
        self.check_gone_at(nodes.nodes[0], deleted + expired)
        self.assertGreater(stat(nodes.nodes[0], "kai_tombstones"), 0)
        nodes.again(2)
        wait_settled(nodes.nodes[0])
        self.check_gone(nodes, deleted + expired)
        for node in nodes.nodes:
            # Marks and what has expired are reaped in the order in which they lie there.
            await_stat(node, "kai_tombstones", 0, 30)
            await_stat(node, "curr_items", 0, 30)
        self.check_gone(nodes, deleted + expired)
        self.assertIsNotNone(admin(nodes.nodes[0], "wait-settled"))

    def check_gone_at(self, node, keys):
        with Client(node.memcache) as client:
            self.assertEqual(client.get(*keys), {})


if __name__ == "__main__":
    main()
