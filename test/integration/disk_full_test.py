#!/usr/bin/env python3
"""Disks that fill up: writes fail with SERVER_ERROR, reads go on, and all heals by itself."""

import isolated

isolated.enter()

import time

from memcache import Client, check_all, set_command, store_all
from processes import Nodes, TestCase, main, status, wait_equal, wait_settled

FULL = b"SERVER_ERROR "


class DiskFull(TestCase):
    def setUp(self):
        super().setUp()
        for i in (1, 2, 3):
            disk = self.directory / f"n{i}"
            disk.mkdir()
            isolated.small_disk(disk, "24m")
            self.addCleanup(isolated.remove_disk, disk)
        self.nodes = Nodes(self.directory, 3)
        self.addCleanup(self.nodes.__exit__)
        wait_settled(self.nodes.nodes[0])

    def fill(self, number):
        """To the last byte, with a file of somebody else's."""
        with open(self.nodes.disk(number) / "filler", "wb", buffering=0) as filler:
            for size in (65536, 1):
                try:
                    while filler.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def free(self, number):
        (self.nodes.disk(number) / "filler").unlink()

    def write_until(self, client, wanted, seconds=30):
        """Sets of 10 KB, one after another; those that were stored. Anything but STORED and
        SERVER_ERROR raises."""
        stored, end, i = [], time.monotonic() + seconds, 0
        while time.monotonic() < end:
            key = b"w%d-%s" % (i, wanted[:2])
            i += 1
            answer = client.ask(set_command(key, key * 1000))
            if answer == b"STORED\r\n":
                stored.append(key)
            else:
                self.assertTrue(answer.startswith(FULL), answer)
            if answer.startswith(wanted):
                return stored
            time.sleep(0.01)
        raise AssertionError(f"never {wanted!r}")

    def test_with_two_of_three_disks_full_writes_fail_reads_go_on_and_all_heals(self):
        nodes = self.nodes
        keys = [b"before-%d" % i for i in range(500)]
        store_all(nodes.ports(), keys, lambda key: key * 30)
        for number in (2, 3):
            self.fill(number)
        with Client(nodes.nodes[0].memcache) as client:
            stored = self.write_until(client, FULL)
            # Reads of everything that was ever stored, through all nodes, and nobody ended.
            for _ in range(3):
                check_all(nodes.ports(), keys, lambda key: key * 30)
                check_all(nodes.ports(), stored, lambda key: key * 1000)
            for node in nodes.nodes:
                self.assertIsNone(node.child.poll())
                with Client(node.memcache) as other:
                    if node is not nodes.nodes[0]:
                        self.assertGreater(int(other.stats()["kai_storage_write_failures"]), 0)
            for number in (2, 3):
                self.free(number)
            begin = time.monotonic()
            stored += self.write_until(client, b"STORED")
            print(f"  writes again after {time.monotonic() - begin:.1f} s", flush=True)
        wait_equal(nodes.nodes[0])
        check_all(nodes.ports(), keys, lambda key: key * 30)
        check_all(nodes.ports(), stored, lambda key: key * 1000)
        held = {x["keys"] for x in status(nodes.nodes[0])["members"]}
        self.assertEqual(len(held), 1, held)

    def test_one_full_disk_of_three_is_not_noticed(self):
        nodes = self.nodes
        self.fill(2)
        keys = [b"one-%d" % i for i in range(500)]
        store_all(nodes.ports(), keys, lambda key: key * 100)
        check_all(nodes.ports(), keys, lambda key: key * 100)
        self.free(2)
        wait_equal(nodes.nodes[0])
        self.assertEqual({x["keys"] for x in status(nodes.nodes[0])["members"]}, {500})


if __name__ == "__main__":
    main()
