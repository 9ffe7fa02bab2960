#!/usr/bin/env python3
"""Five nodes on hosts of their own, in network namespaces, whose network is cut while clients write
and read on all sides. Nothing closes a connection: packets are lost without a word."""

import isolated

isolated.enter()

import time

from load import Load
from processes import (Process, TestCase, await_status, locate, main, member, status,
                       wait_settled)

LEFT, RIGHT = (1, 2), (3, 4, 5)
NODES = LEFT + RIGHT


class HostNode(Process):
    """Node i on host i of an isolated.Network."""

    def __init__(self, i, directory):
        self.host, self.outside, self.cluster = f"10.0.0.{i}", f"10.0.{i}.2", 11011
        seeds = ["-j", "10.0.0.1:11011"] if i > 1 else []
        super().__init__("kai-node", f"--node.name=n{i}", f"--cluster.address={self.host}",
                         f"--memcache.address={self.outside}", "-d", str(directory / f"n{i}"),
                         "--storage.sync=always", *seeds,
                         inside=("ip", "netns", "exec", f"h{i}"))


class Cut(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.network = isolated.Network({"left": LEFT, "right": RIGHT})

    def setUp(self):
        super().setUp()
        self.unsettled = False
        self.nodes = {}
        for i in NODES:
            self.nodes[i] = HostNode(i, self.directory)
            self.addCleanup(self.nodes[i].__exit__)
        for node in self.nodes.values():
            node.ready()
        await_status(self.nodes[1], lambda x: len(x["members"]) == 5 and x["settled"])

    def load(self):
        """Between a cut and what follows it one side can not see what the other writes."""
        return Load([11211] * 5, hosts=[self.nodes[i].outside for i in NODES],
                    may_be_stale=lambda key, target: self.unsettled)

    def states(self, asked):
        return {x["name"]: x["state"] for x in status(self.nodes[asked])["members"]}

    def test_both_sides_of_a_cut_take_writes_and_agree_when_it_is_healed(self):
        with self.load() as load:
            time.sleep(0.5)
            self.unsettled = True
            self.network.cut()
            time.sleep(1.5)
            for asked, others in ((LEFT[0], RIGHT), (RIGHT[0], LEFT)):
                states = self.states(asked)
                for i in NODES:
                    self.assertEqual(states[f"n{i}"], "down" if i in others else "up")
            time.sleep(2)
            self.network.heal()
            for i in (1, 3):
                await_status(self.nodes[i],
                             lambda x: "down" not in [m["state"] for m in x["members"]])
            wait_settled(self.nodes[1])
            self.unsettled = False
            time.sleep(1)
        wait_settled(self.nodes[3])
        load.check_all()
        print(f"  {load.report()}", flush=True)
        places = {}

        def elsewhere(target, key):
            """Most of the key's replicas are on the other side."""
            if key not in places:
                places[key] = {int(name[1:]) for name in
                               locate(self.nodes[1], key.name.decode())}
            side = LEFT if target.index + 1 in LEFT else RIGHT
            return len(places[key] & set(side)) < 2

        self.assertEqual(load.judgement(elsewhere), [])

    def test_two_nodes_that_do_not_reach_each_other_are_not_noticed(self):
        # All others reach both: the nodes disagree about who is alive, and no read is stale.
        with self.load() as load:
            time.sleep(0.5)
            for a, b in ((1, 4), (4, 1)):
                isolated.must(f"ip -n h{a} route add blackhole 10.0.0.{b}/32")
            time.sleep(3)
            self.assertEqual([self.states(1)["n4"], self.states(4)["n1"]], ["down"] * 2)
            self.assertNotIn("down", self.states(3).values())
            for a, b in ((1, 4), (4, 1)):
                isolated.must(f"ip -n h{a} route del blackhole 10.0.0.{b}/32")
            await_status(self.nodes[1], lambda x: member(x, "n4")["state"] != "down")
            wait_settled(self.nodes[1])
        load.check_all()
        print(f"  {load.report()}", flush=True)
        self.assertEqual(load.judgement(), [])

    def test_a_node_whose_cable_is_pulled_is_down_for_all_within_a_second(self):
        self.network.unplug(5)
        begin = time.monotonic()
        seen = {}
        while len(seen) < 4:
            for i in NODES[:4]:
                if i not in seen and self.states(i)["n5"] == "down":
                    seen[i] = time.monotonic() - begin
            self.assertLess(time.monotonic() - begin, 5, seen)
        self.assertLess(max(seen.values()), 1.5)
        print(f"  seen after {sorted(round(x, 2) for x in seen.values())} s", flush=True)
        isolated.must("ip link set p5 master right")
        await_status(self.nodes[1], lambda x: x["settled"])


if __name__ == "__main__":
    main()
