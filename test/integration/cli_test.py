#!/usr/bin/env python3
"""The command lines of the programs: options, ready lines, signals, exit statuses."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

from memcache import Client, set_command, wait_for_quorums
from processes import (BIN, Node, Nodes, Process, TestCase, admin, fetch, free_port, free_ports,
                       main, member, run, store, wait_settled)


class Usage(TestCase):
    def test_help_and_version_end_with_0(self):
        for program in ("kai-node", "kai-cluster", "kai-admin"):
            for option in ("--help", "--version"):
                result = run(program, option)
                self.assertEqual(result.returncode, 0)
                self.assertIn(program, result.stdout)
                self.assertEqual(result.stderr, "")

    def test_an_answer_that_nobody_can_read_is_no_success(self):
        with Node(self.directory / "data", "--node.name=solo") as node, \
                open("/dev/full", "w") as full:
            for arguments in (["--help"], [f"--node={node.host}:{node.cluster}", "status", "--json"]):
                result = subprocess.run([BIN / "kai-admin", *arguments], stdout=full,
                                        stderr=subprocess.PIPE, text=True)
                self.assertEqual(result.returncode, 1)
                self.assertIn("can not be written", result.stderr)

    def test_a_wrong_argument_ends_with_2_and_starts_nothing(self):
        for program in ("kai-node", "kai-cluster"):
            for argument, name in (("--memcache.port=70000", "memcache.port"),
                                   ("--cluster.partitions=100", "cluster.partitions"),
                                   ("--cluster.write-quorum=9", "cluster.write-quorum"),
                                   ("--no.such=1", "no.such"), ("stray", "stray"),
                                   ("--scheduler.max-threads=x", "scheduler.max-threads")):
                with self.subTest(program=program, argument=argument):
                    self.check_complaint(run(program, argument, cwd=self.directory), 2, name)
                    self.assertEqual(list(self.directory.iterdir()), [])

    def test_options_that_do_not_count_are_told_of(self):
        data = self.directory / "data"
        with Node(data, "--node.name=solo") as node:
            node.stop()
        with Node(data, "--node.name=solo", "--cluster.replicas=2",
                  "--storage.memory-limit=64m") as node:
            self.assertEqual(node.errors().count("was founded with N=3"), 1)
            self.assertEqual(node.errors().count("storage.memory-limit: counts with"), 1)
        with Node(data, "--node.name=solo", "--storage.engine=memory") as node:
            self.assertEqual(node.errors().count(f"the data in {data} is not used"), 1)
        self.check_complaint(run("kai-node", f"--config-file={data}/none"), 2,
                             f"{data}/none: No such file")

    def test_a_wrong_file_is_named_with_its_line(self):
        file = self.directory / "kai.conf"
        file.write_text("[memcache]\nport = 0\n\nmax-conections = 5\n")
        self.check_complaint(run("kai-node", f"--config-file={file}"), 2, f"{file}:4",
                             "memcache.max-conections")

    def test_kai_admin_used_wrongly_ends_with_2(self):
        for arguments in ((), ("stat",), ("locate",), ("status", "x"), ("--bogus", "status"),
                          ("--timeout=1", "status"), ("--node=nowhere", "status")):
            with self.subTest(arguments=arguments):
                self.check_complaint(run("kai-admin", *arguments), 2, "kai-admin: ")

    def test_kai_admin_that_reaches_nobody_ends_with_1(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            node = f"--node=127.0.0.1:{unused.getsockname()[1]}"
            for command in ("status", "wait-settled"):
                self.check_complaint(run("kai-admin", node, command, "--timeout=1s"), 1,
                                     "cannot reach")


class Running(TestCase):
    def test_a_node_serves_when_it_says_so_and_keeps_its_data(self):
        data = self.directory / "data"
        with Node(data, "--node.name=solo", "--admin.port=0") as node:
            self.assertEqual(node.name, "solo")
            self.assertRegex(node.admin, r"127\.0\.0\.1:\d+")
            self.assertEqual(store(node.memcache, "key", "value"), "STORED\r\n")
            status, seconds = node.stop()
            self.assertEqual((status, node.rest()), (0, ""))
            self.assertLess(seconds, 5)
        with Node(data, "--node.name=solo") as node:
            self.assertEqual(node.admin, "-")
            self.assertEqual(fetch(node.memcache, "key"), "value")
            self.assertEqual(node.stop(signal.SIGINT)[0], 0)

    def test_a_name_that_looks_like_a_number_is_none_to_prometheus(self):
        with Node(self.directory / "data", "--node.name=10.0.0.1", "--admin.port=0") as node:
            with urllib.request.urlopen(f"http://{node.admin}/metrics") as page:
                lines = page.read().decode().splitlines()
        samples = [line.split() for line in lines if not line.startswith("#")]
        self.assertGreater(len(samples), 50)
        for name, value in samples:
            self.assertNotIn("kai_node", name)
            float(value)

    def test_closed_standard_streams_are_no_ports(self):
        for closed in ([0, 1, 2], [0, 1], [2]):
            with self.subTest(closed=closed):
                port = free_port()
                child = subprocess.Popen(
                    [BIN / "kai-node", "-p", str(port), "-c", "0", "-d",
                     str(self.directory / f"closed{len(closed)}")],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    preexec_fn=lambda: [os.close(x) for x in closed])
                try:
                    end = time.monotonic() + 10
                    while True:
                        try:
                            answer = store(port, "key", "value")
                            break
                        except OSError:
                            self.assertIsNone(child.poll())
                            self.assertLess(time.monotonic(), end)
                            time.sleep(0.02)
                    self.assertEqual(answer, "STORED\r\n")
                    for x in closed:
                        self.assertEqual(os.readlink(f"/proc/{child.pid}/fd/{x}"), "/dev/null")
                    child.send_signal(signal.SIGTERM)
                    self.assertEqual(child.wait(10), 0)
                finally:
                    child.kill()
                    child.wait()

    def test_seeds_that_are_not_there_are_told_of_once_in_a_while(self):
        seeds = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
        with Node(self.directory / "data", "-j", seeds, wait=False) as node:
            with self.assertRaises(subprocess.TimeoutExpired, msg=node.errors()):
                node.child.wait(4)
            log = node.errors()
            for seed in seeds.split(","):
                self.assertEqual(log.count(f"joining through {seed}"), 1, log)

    def test_nodes_listen_on_ipv6_and_say_so_in_brackets(self):
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            self.skipTest("this machine has no IPv6")
        v6 = ("--cluster.address=::1", "--storage.engine=memory")
        with Node("unused", "--memcache.address=::1", *v6) as node, \
                Node("unused", "--memcache.address=::", *v6, "-j", f"[::1]:{node.cluster}") as both:
            node.host = "[::1]"
            wait_settled(node)
            self.assertEqual(node.name, f"[::1]:{node.cluster}")
            with Client(node.memcache, host="::1") as client:
                self.assertEqual(client.ask(set_command(b"a", b"1")), b"STORED\r\n")
                mine = f"tcp6:[::1]:{client.socket.getsockname()[1]}"
                self.assertIn(mine, client.stats(b"conns").values())
            for host in ("::1", "127.0.0.1"):
                with Client(both.memcache, host=host) as client:
                    self.assertEqual(client.get(b"a"), {b"a": b"1"})
            found = member(admin(node, "status"), node.name)
            self.assertEqual((found["memcache"], found["cluster"]),
                             (f"[::1]:{node.memcache}", f"[::1]:{node.cluster}"))

    def test_a_second_process_on_a_directory_is_refused(self):
        data = self.directory / "data"
        with Node(data):
            with Node(data, wait=False) as second:
                self.assertNotEqual(second.child.wait(60), 0)
                self.assertIn("storage.directory", second.errors())
                self.assertEqual(second.rest(), "")

    def test_a_directory_that_can_not_be_used_is_named(self):
        file = self.directory / "file"
        file.write_text("something else")
        # Nobody makes directories in /proc, not even root.
        for directory in (file, "/proc/kai", file / "below"):
            with self.subTest(directory=directory):
                with Node(directory, wait=False) as node:
                    self.assertNotEqual(node.child.wait(60), 0)
                    self.assertEqual(node.rest(), "")
                    self.assertIn(str(directory), node.errors())
                    self.assertIn("storage.directory", node.errors())
        self.assertEqual(file.read_text(), "something else")

    def test_a_read_quorum_above_the_replicas_starts_nothing(self):
        result = run("kai-node", "--cluster.replicas=3", "--cluster.read-quorum=4",
                     cwd=self.directory)
        self.check_complaint(result, 2, "cluster.read-quorum")

    def test_a_taken_port_names_its_option(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            for option in ("memcache.port", "cluster.port", "admin.port"):
                with self.subTest(option=option):
                    with Node(self.directory / option, f"--{option}={port}", wait=False) as node:
                        self.assertNotEqual(node.child.wait(60), 0)
                        self.assertIn(option, node.errors())

    def test_a_node_that_still_joins_stops_in_order(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            seed = f"127.0.0.1:{unused.getsockname()[1]}"
            with Node(self.directory / "data", "-j", seed, wait=False) as node:
                with self.assertRaises(subprocess.TimeoutExpired, msg=node.errors()):
                    node.child.wait(1)
                status, seconds = node.stop()
                self.assertEqual((status, node.rest()), (0, ""), node.errors())
                self.assertLess(seconds, 5)


class Cluster(TestCase):
    def test_a_cluster_in_one_process_serves_on_every_node_and_leaves_nothing(self):
        with Process("kai-cluster", "--nodes=3", "-p", "0", "-c", "0") as cluster:
            nodes = [cluster.ready() for _ in range(3)]
            self.assertEqual(cluster.line(), "kai-cluster ready nodes=3\n")
            self.assertEqual(len({port for _, port, _, _ in nodes}), 3)
            self.assertEqual(store(nodes[0][1], "key", "value"), "STORED\r\n")
            for _, port, _, _ in nodes:
                self.assertEqual(fetch(port, "key"), "value")
            self.assertNotEqual(list(self.directory.iterdir()), [])
            status, seconds = cluster.stop()
            self.assertEqual(status, 0, cluster.errors())
            self.assertLess(seconds, 5)
        self.assertEqual(list(self.directory.iterdir()), [])

    def start_named(self, port="0"):
        cluster = Process("kai-cluster", "--nodes=5", "-p", "0", "-c", port, "--node.name=n", "-d",
                          str(self.directory / "data"))
        self.addCleanup(cluster.__exit__)
        return cluster

    def test_a_cluster_that_comes_back_on_other_ports_is_one(self):
        first = free_ports(5)
        for value, port in (("first", first), ("second", free_ports(5))):
            cluster = self.start_named(str(port))
            nodes = [cluster.ready() for _ in range(5)]
            cluster.line()
            settled = run("kai-admin", f"--node=127.0.0.1:{nodes[0][2]}", "wait-settled",
                          "--timeout=30s")
            self.assertEqual((settled.returncode, settled.stderr), (0, ""), cluster.errors())
            if value == "second":
                self.assertEqual(fetch(nodes[4][1], "key"), "first")
            self.assertEqual(store(nodes[0][1], "key", value), "STORED\r\n")
            self.assertEqual(cluster.stop()[0], 0)

    def test_a_first_node_whose_directory_is_gone_founds_no_second_cluster(self):
        cluster = self.start_named()
        nodes = [cluster.ready() for _ in range(5)]
        cluster.line()
        self.assertEqual(store(nodes[0][1], "key", "value"), "STORED\r\n")
        self.assertEqual(cluster.stop()[0], 0)
        shutil.rmtree(self.directory / "data" / "node1")
        again = self.start_named()
        nodes = [again.ready() for _ in range(5)]
        for _, port, _, _ in nodes:
            wait_for_quorums([port])
            self.assertEqual(fetch(port, "key"), "value")
        self.assertEqual(again.stop()[0], 0)
        fewer = run("kai-cluster", "--nodes=3", "-p", "0", "-c", "0", "--node.name=n", "-d",
                    self.directory / "data")
        self.check_complaint(fewer, 2, "--nodes=5")

    def test_the_directory_of_a_node_that_left_is_named(self):
        cluster = self.start_named()
        nodes = [cluster.ready() for _ in range(5)]
        cluster.line()
        left = run("kai-admin", f"--node=127.0.0.1:{nodes[0][2]}", "leave", "n3", "--timeout=30s")
        self.assertEqual((left.returncode, left.stderr), (0, ""), cluster.errors())
        self.assertEqual(cluster.stop()[0], 0)
        again = self.start_named()
        self.assertEqual(again.child.wait(30), 2)
        self.assertIn(f"kai-cluster: n3: storage.directory: the data in {self.directory}/data/node3 ",
                      again.errors())

    def test_a_node_that_does_not_reach_another_says_why(self):
        with Nodes(self.directory, 3) as nodes:
            wait_for_quorums(nodes.ports())
            nodes.kill(1, 2, 3)
            alone = nodes.again(1, wait=False)
            time.sleep(5)
            for i in (2, 3):
                address = f"n{i} at 127.0.0.1:{nodes.nodes[i - 1].cluster} can not be used: "
                self.assertEqual(alone.errors().count(address), 1, alone.errors())


if __name__ == "__main__":
    main()
