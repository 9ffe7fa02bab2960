#!/usr/bin/env python3
"""Five nodes on LevelDB with storage.sync=always; they are killed, stopped and started again while
clients write and read through all of them. KAI_TEST_ROUNDS does it so many times over."""

import os
import signal
import time

from load import Load
from memcache import Client, check_all, store_all, wait_for_quorums
from processes import Nodes, TestCase, await_status, locate, main, member, wait_settled

ROUNDS = int(os.environ.get("KAI_TEST_ROUNDS", "1"))


class Failures(TestCase):
    def nodes(self):
        nodes = Nodes(self.directory, 5, "--storage.sync=always")
        self.addCleanup(nodes.__exit__)
        wait_settled(nodes.nodes[0])
        return nodes

    def check(self, nodes, load, excused=lambda target, key: False):
        """After the load: the promises of issue and interface."""
        wait_settled(nodes.nodes[0])
        load.check_all()
        print(f"  {load.report()}", flush=True)
        self.assertEqual(load.judgement(excused), [])

    def test_nodes_killed_one_after_another_are_not_noticed(self):
        nodes = self.nodes()
        with Load(nodes.ports()) as load:
            for number in [1, 2, 3, 4, 5] * ROUNDS:
                time.sleep(0.5)
                load.harm(number - 1)
                nodes.kill(number)
                time.sleep(1.5)
                nodes.again(number)
                load.spare(number - 1)
                wait_settled(nodes.nodes[number % 5])
        self.check(nodes, load)

    def pause(self, nodes, load, numbers, seconds):
        for number in numbers:
            load.harm(number - 1)
            nodes.nodes[number - 1].child.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        for number in numbers:
            nodes.nodes[number - 1].child.send_signal(signal.SIGCONT)
        # Live is what the others see as live: its connections are gone when it goes on.
        other = nodes.nodes[numbers[0] % 5]
        for number in numbers:
            await_status(other, lambda x, n=number: member(x, f"n{n}")["state"] != "down")
            load.spare(number - 1)
        wait_settled(other)
        time.sleep(0.5)

    def test_one_stopped_node_is_not_noticed(self):
        nodes = self.nodes()
        with Load(nodes.ports()) as load:
            for number in [3, 1] * ROUNDS:
                self.pause(nodes, load, [number], 3)
        self.check(nodes, load)

    def test_with_two_stopped_nodes_only_what_both_hold_is_not_read(self):
        nodes = self.nodes()
        with Load(nodes.ports()) as load:
            for _ in range(ROUNDS):
                self.pause(nodes, load, [2, 4], 3)
        places = {}

        def both_hold(_, key):
            if key not in places:
                places[key] = set(locate(nodes.nodes[0], key.name.decode()))
            return {"n2", "n4"} <= places[key]

        self.check(nodes, load, both_hold)

    def test_reads_with_three_of_five_nodes_gone_give_the_value_or_an_error(self):
        nodes = self.nodes()
        keys = [b"gone-%d" % i for i in range(300)]
        store_all(nodes.ports(), keys, lambda key: key * 5)
        nodes.kill(1, 3, 5)
        values = errors = 0
        end = time.monotonic() + 4
        while time.monotonic() < end:
            for node in (nodes.nodes[1], nodes.nodes[3]):
                with Client(node.memcache) as client:
                    for key in keys:
                        client.send(b"get " + key + b"\r\n")
                        line = client.line()
                        if line.startswith(b"SERVER_ERROR"):
                            errors += 1
                            continue
                        self.assertEqual(line, b"VALUE %s 0 %d\r\n" % (key, len(key) * 5))
                        self.assertEqual(client.line(), key * 5 + b"\r\n")
                        self.assertEqual(client.line(), b"END\r\n")
                        values += 1
        print(f"  {values} values, {errors} errors", flush=True)
        self.assertGreater(values, 0)
        self.assertGreater(errors, 0)
        for number in (1, 3, 5):
            nodes.again(number, wait=False)
        for number in (1, 3, 5):
            nodes.nodes[number - 1].get_ready()
        wait_settled(nodes.nodes[1])
        wait_for_quorums(nodes.ports())
        check_all(nodes.ports(), keys, lambda key: key * 5)


if __name__ == "__main__":
    main()
