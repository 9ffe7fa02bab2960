#!/usr/bin/env python3
"""kai-admin, and nodes that are to join, used wrongly: one clear line each, and nothing changed. And
the way out when most members are gone for good."""

import json
import shutil
import signal
import time

from memcache import Client, check_all, set_command, store_all
from processes import (Node, TestCase, admin, await_status, main, member, run, run_admin, status,
                       wait_settled)


def value_of(key):
    return key * 3


class Base(TestCase):
    def ring(self, node):
        """With the epoch."""
        return run_admin(node, "ring", "--json").stdout

    def refused(self, node, *arguments, says):
        before = self.ring(node)
        result = run_admin(node, *arguments)
        self.check_complaint(result, 1, says)
        self.assertEqual(self.ring(node), before)

    def log_with(self, node, *words):
        """The one line of a node's log that has the words; waits for it."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            lines = [x for x in node.errors().splitlines() if all(word in x for word in words)]
            if lines:
                self.assertEqual(len(lines), 1, lines)
                return lines[0]
            time.sleep(0.1)
        raise AssertionError(f"no line with {words} in: {node.errors()}")


class Misuse(Base):
    def test_what_can_not_be_is_refused_in_one_line_and_changes_nothing(self):
        nodes = self.cluster_in("three", 3)
        first = nodes.nodes[0]
        for command in ("leave", "remove", "plan leave", "plan remove"):
            self.refused(first, *command.split(), "n9", says="there is no member 'n9'")
        self.refused(first, "remove", "n2", says="'n2' is alive and answers")
        self.refused(first, "remove", "n2", "--force", says="'n2' is alive and answers")
        self.refused(first, "abort", says="no change of members is under way")
        self.refused(first, "plan", "join", f"127.0.0.1:{nodes.nodes[1].cluster}",
                     says="n2")
        before = self.ring(first)
        self.assertEqual(admin(first, "plan", "join", "127.0.0.1:1")["partitions"], 256 * 3 // 4)
        self.assertEqual(self.ring(first), before)

    def test_fewer_than_w_live_replicas_take_force(self):
        nodes = self.cluster_in("three", 3, "--cluster.write-quorum=3")
        self.refused(nodes.nodes[0], "leave", "n3", says="W=3 replicas (--force does it)")
        nodes.kill(3)
        await_status(nodes.nodes[0], lambda x: member(x, "n3")["state"] == "down")
        nodes.kill(2)
        await_status(nodes.nodes[0], lambda x: member(x, "n2")["state"] == "down")
        self.refused(nodes.nodes[0], "leave", "n1", says="only 1 of 3 members are alive")

    def test_the_last_member_can_not_leave(self):
        nodes = self.cluster_in("one", 1)
        for force in ((), ("--force",)):
            self.refused(nodes.nodes[0], "leave", "n1", *force, says="'n1' is the last member")

    def test_members_of_another_cluster_are_none_here(self):
        ours, theirs = self.cluster_in("ours", 3), self.cluster_in("theirs", 1, "--node.name=stranger")
        before = self.ring(theirs.nodes[0])
        for command in ("leave", "remove", "plan leave"):
            self.refused(ours.nodes[0], *command.split(), "stranger",
                         says="there is no member 'stranger'")
        self.assertEqual(self.ring(theirs.nodes[0]), before)

    def test_two_founded_clusters_do_not_become_one(self):
        ours, theirs = self.cluster_in("ours", 3), self.cluster_in("theirs", 1)
        keys = [b"k%d" % i for i in range(300)]
        store_all(ours.ports(), keys, value_of)
        with Client(theirs.ports()[0]) as client:
            self.assertEqual(client.ask(set_command(b"k1", b"of theirs")), b"STORED\r\n")
        before, before_there = self.ring(ours.nodes[0]), json.loads(self.ring(theirs.nodes[0]))
        node = theirs.nodes[0]
        self.assertEqual(node.stop()[0], 0)
        seed = f"127.0.0.1:{ours.nodes[0].cluster}"
        again = theirs.start(1, f"--memcache.port={node.memcache}",
                             f"--cluster.port={node.cluster}", "-j", seed)
        node.__exit__()
        theirs.nodes[0] = again
        line = self.log_with(again, "cluster.seeds", seed)
        self.assertIn("belongs to another cluster", line)
        self.assertIn("stays a member of the cluster that its data belongs to", line)
        # Each goes on by itself, with what it has.
        self.assertEqual(self.ring(ours.nodes[0]), before)
        after_there = json.loads(self.ring(again))
        self.assertEqual(after_there, before_there)
        check_all(ours.ports(), keys, value_of)
        with Client(again.memcache) as client:
            self.assertEqual(client.get(b"k1", b"k2"), {b"k1": b"of theirs"})

    def test_a_new_node_with_the_name_of_a_live_member_is_not_taken_in(self):
        nodes = self.cluster_in("three", 3)
        before = self.ring(nodes.nodes[0])
        other = Node(self.directory / "other", "--node.name=n2", "-j",
                     f"127.0.0.1:{nodes.nodes[0].cluster}", wait=False)
        self.addCleanup(other.__exit__)
        self.log_with(other, "a member named 'n2' is alive")
        self.assertEqual(self.ring(nodes.nodes[0]), before)

    def test_a_copy_of_a_live_members_directory_is_refused(self):
        nodes = self.cluster_in("three", 3)
        before = self.ring(nodes.nodes[0])
        copy = self.directory / "copy"
        shutil.copytree(nodes.disk(3), copy)
        result = run("kai-node", "--node.name=n3", "-p", "0", "-c", "0", "-d", str(copy), "-j",
                     f"127.0.0.1:{nodes.nodes[0].cluster}")
        self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
        self.assertIn("storage.directory: it is a copy of that of 'n3', who is alive at 127.0.0.1:"
                      f"{nodes.nodes[2].cluster}", result.stderr)
        self.assertEqual(self.ring(nodes.nodes[0]), before)

    def test_a_removed_member_does_not_start_again(self):
        nodes = self.cluster_in("three", 3)
        nodes.kill(3)
        for node in nodes.nodes[:2]:
            await_status(node, lambda x: member(x, "n3")["state"] == "down")
        removed = run_admin(nodes.nodes[0], "remove", "n3")
        while "try again" in removed.stderr:
            # The other one has not told yet.
            time.sleep(0.1)
            removed = run_admin(nodes.nodes[0], "remove", "n3")
        self.assertEqual(removed.returncode, 0, removed.stderr)
        again = nodes.again(3, wait=False)
        self.assertEqual(again.child.wait(30), 2, again.errors())
        self.assertEqual(again.rest(), "")
        self.assertIn("is no longer a member's", again.errors())

    def test_a_member_that_is_down_can_not_leave(self):
        nodes = self.cluster_in("four", 4)
        nodes.kill(4)
        await_status(nodes.nodes[0], lambda x: member(x, "n4")["state"] == "down")
        for command in ("leave n4", "leave n4 --force", "plan leave n4"):
            self.refused(nodes.nodes[0], *command.split(), says="'n4' is down")

    def test_a_member_is_asked_itself_to_leave(self):
        nodes = self.cluster_in("three", 3)
        left = run_admin(nodes.nodes[2], "leave", "n3", timeout=25)
        self.assertEqual((left.returncode, left.stderr), (0, ""))
        self.assertEqual(nodes.nodes[2].child.wait(30), 0)
        self.assertEqual([m["name"] for m in status(nodes.nodes[0])["members"]], ["n1", "n2"])
        self.assertEqual(status(nodes.nodes[0])["warning"],
                         "there are 2 members for 3 replicas: each key is at 2 only")

    def test_a_port_for_http_that_is_taken_lets_no_member_in(self):
        nodes = self.cluster_in("three", 3)
        before = self.ring(nodes.nodes[0])
        for option, says in ((f"--admin.port={nodes.nodes[0].cluster}", "admin.port: "),
                             ("--admin.address=192.0.2.1", "admin.address: ")):
            result = run("kai-node", "--node.name=n4", "-p", "0", "-c", "0", "--admin.port=0",
                         "-d", str(self.directory / "n4"), option, "-j",
                         f"127.0.0.1:{nodes.nodes[0].cluster}")
            self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
            self.assertIn(says, result.stderr)
            self.assertEqual(self.ring(nodes.nodes[0]), before)


class LostMajority(Base):
    def remove(self, node, name):
        return run_admin(node, "remove", name, "--force", timeout=40)

    def test_a_majority_that_is_gone_for_good_is_given_up_by_force_and_the_rest_goes_on(self):
        nodes = self.cluster_in("five", 5)
        first = nodes.nodes[0]
        keys = [b"k%d" % i for i in range(500)]
        store_all(nodes.ports(), keys, value_of)
        nodes.kill(3, 4, 5)
        await_status(first, lambda x: [m["state"] for m in x["members"]].count("down") == 3)
        for change in ("remove n3", "leave n2"):
            self.refused(first, *change.split(),
                         says="only 2 of 5 members are alive, and more than half of them have to "
                              "agree: start the others again, or, if they are gone for good, give "
                              "them up with `remove NAME --force`, one by one")
        for name, alone in (("n3", True), ("n4", True), ("n5", False)):
            done = self.remove(first, name)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"warning: {name} is given up, with every acknowledged write that only "
                          "dead members have", done.stderr)
            self.assertEqual("decided alone" in done.stderr, alone, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        wait_settled(first)
        now = status(first)
        self.assertEqual([(m["name"], m["state"]) for m in now["members"]],
                         [("n1", "up"), ("n2", "up")])
        ports = nodes.ports()[:2]
        # Of three replicas two are enough for an acknowledgement: what none of the two had is gone,
        # as was said. All else is there, the same through both, and both are written again.
        found = []
        for port in ports:
            with Client(port) as client:
                found.append({key: value for key in keys for value in client.get(key).values()})
        self.assertEqual(found[0], found[1])
        self.assertEqual({value_of(key) for key in found[0]}, set(found[0].values()))
        print(f"  {len(found[0])} of {len(keys)} keys are left of two in five", flush=True)
        self.assertGreater(len(found[0]), len(keys) // 2)
        store_all(ports, keys, value_of)
        check_all(ports, keys, value_of)
        # One that was given up comes back: it is told, and is no member.
        late = nodes.again(3, wait=False)
        self.assertEqual(late.child.wait(30), 2)
        self.log_with(late, "this node is no member of the cluster any more")
        self.assertNotIn("n3", [m["name"] for m in status(first)["members"]])



if __name__ == "__main__":
    main()
