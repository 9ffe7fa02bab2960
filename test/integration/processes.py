"""What the integration tests share: programs of kai as child processes, on loopback and free ports."""

import fcntl
import itertools
import json
import os
import pathlib
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BIN = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/bin").resolve()
READY = re.compile(r"kai-node ready name=(\S+) memcache=(\S+):(\d+) cluster=(\S+):(\d+) admin=(\S+)\n")
# Long enough for a loaded machine; what has to be quicker says so.
PATIENCE = 60
SCRATCH = pathlib.Path(tempfile.gettempdir())


def block_of_ports():
    """Ports for this process alone, again and again. They lie below those that the system gives to
    whoever asks for any (ip_local_port_range): a node that starts again finds its own ones free."""
    for block in itertools.count():
        first = 12000 + block * PORTS_IN_BLOCK
        if first + PORTS_IN_BLOCK > 32768:
            raise AssertionError("other tests have all ports")
        try:
            lock = open(SCRATCH / f"kai-test-ports-{block}", "w")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            continue
        # The lock goes with this frame.
        while True:
            yield from range(first, first + PORTS_IN_BLOCK)


PORTS_IN_BLOCK = 400
PORTS = block_of_ports()


def free_port():
    """Each call another one."""
    for _ in range(PORTS_IN_BLOCK):
        port = next(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no port is free")


def free_ports(count):
    """The first of so many in a row."""
    found = []
    while len(found) < count:
        port = free_port()
        if found and port != found[-1] + 1:
            found = []
        found.append(port)
    return found[0]


def run(program, *arguments, timeout=PATIENCE, inside=(), **options):
    """Runs a program to its end; its status, stdout and stderr. `inside`: a command that runs it
    somewhere else, as in a network namespace."""
    return subprocess.run([*inside, BIN / program, *arguments], capture_output=True, text=True,
                          timeout=timeout, check=False, stdin=subprocess.DEVNULL, **options)


def raise_descriptor_limit(wanted):
    """Of this process and its children, to what they use by themselves and `wanted` more."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, max(now, wanted + 1000)), most))


class Process:
    """A program that serves. Its stderr goes to a file, so that it never blocks."""

    def __init__(self, program, *arguments, inside=(), **options):
        self.log = tempfile.TemporaryFile("w+")
        self.inside = inside
        self.child = subprocess.Popen([*inside, BIN / program, *arguments], stdout=subprocess.PIPE,
                                      stderr=self.log, stdin=subprocess.DEVNULL, bufsize=0,
                                      **options)
        self.said = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.child.stdout.close()
        self.log.close()

    def line(self):
        """The next line of stdout."""
        while b"\n" not in self.said:
            readable, _, _ = select.select([self.child.stdout], [], [], PATIENCE)
            more = os.read(self.child.stdout.fileno(), 4096) if readable else b""
            if not more:
                raise AssertionError(f"no line on stdout; stderr: {self.errors()}")
            self.said += more
        line, _, self.said = self.said.partition(b"\n")
        return line.decode() + "\n"

    def rest(self):
        """What an ended process said on stdout and was not read."""
        self.said, said = b"", self.said + self.child.stdout.read()
        return said.decode()

    def errors(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read()

    def ready(self):
        """Reads a ready line: name, memcache port, cluster port, admin address."""
        line = self.line()
        match = READY.fullmatch(line)
        if not match:
            raise AssertionError(f"not a ready line: {line!r}")
        return match[1], int(match[3]), int(match[5]), match[6]

    def stop(self, how=signal.SIGTERM):
        """Signals the process and waits; its status and the seconds it took."""
        begin = time.monotonic()
        self.child.send_signal(how)
        status = self.child.wait(PATIENCE)
        return status, time.monotonic() - begin


MEMCACHED = shutil.which("memcached")


class Memcached:
    """The distribution's memcached on a free port, taking connections."""

    def __init__(self, *arguments):
        self.memcache = free_port()
        root = ["-u", "root"] if os.geteuid() == 0 else []
        self.child = subprocess.Popen([MEMCACHED, "-l", "127.0.0.1", "-p", str(self.memcache),
                                       "-U", "0", *root, *arguments], stdin=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.memcache)).close()
                return
            except ConnectionRefusedError:
                if self.child.poll() is not None:
                    raise AssertionError("memcached does not start")
                time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()


class Node(Process):
    """kai-node on free ports, ready unless told otherwise."""

    host = "127.0.0.1"

    def __init__(self, directory, *arguments, wait=True):
        # Several loops count up from the first one's.
        loops = any(x.startswith("--node.loops") for x in arguments)
        super().__init__("kai-node", "-p", str(free_port()), "-c",
                         "0" if loops else str(free_port()), "-d", str(directory), *arguments)
        if wait:
            try:
                self.get_ready()
            except BaseException:
                self.__exit__()
                raise

    def get_ready(self):
        self.name, self.memcache, self.cluster, self.admin = self.ready()


class Nodes:
    """A cluster of kai-node processes: n1 founds it, the others join through it."""

    def __init__(self, directory, count, *arguments):
        self.directory, self.arguments, self.nodes = directory, arguments, []
        try:
            for i in range(1, count + 1):
                seeds = ["-j", f"127.0.0.1:{self.nodes[0].cluster}"] if self.nodes else []
                self.nodes.append(self.start(i, *seeds, wait=i == 1))
            for node in self.nodes[1:]:
                node.get_ready()
        except BaseException:
            self.__exit__()
            raise

    def start(self, number, *arguments, wait=True):
        return Node(self.directory / f"n{number}", f"--node.name=n{number}", *self.arguments,
                    *arguments, wait=wait)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.__exit__()

    def ports(self):
        return [node.memcache for node in self.nodes]

    def end_all(self, how):
        """Signals all at once; their exit statuses."""
        for node in self.nodes:
            node.child.send_signal(how)
        return [node.child.wait(PATIENCE) for node in self.nodes]

    def again(self, number, *arguments, wait=True):
        """Starts an ended node again, on its old ports, with another one as seed."""
        old = self.nodes[number - 1]
        others = [x for x in self.nodes if x is not old]
        seed = next((x for x in others if x.child.poll() is None), others[0])
        node = self.start(number, f"--memcache.port={old.memcache}",
                          f"--cluster.port={old.cluster}", "-j", f"127.0.0.1:{seed.cluster}",
                          *arguments, wait=False)
        node.memcache, node.cluster = old.memcache, old.cluster
        old.__exit__()
        self.nodes[number - 1] = node
        if wait:
            node.get_ready()
        return node

    def kill(self, *numbers):
        for number in numbers:
            self.nodes[number - 1].stop(signal.SIGKILL)

    def disk(self, number):
        return self.directory / f"n{number}"

    def wipe(self, number):
        shutil.rmtree(self.disk(number))

    def start_all(self, *arguments):
        """Starts ended nodes again, each on its old ports."""
        old = self.nodes
        self.nodes = [self.start(i, f"--memcache.port={node.memcache}",
                                 f"--cluster.port={node.cluster}", *arguments, wait=False)
                      for i, node in enumerate(old, 1)]
        for node in old:
            node.__exit__()
        for node in self.nodes:
            node.get_ready()


def run_admin(node, *arguments, timeout=PATIENCE):
    """kai-admin through a node."""
    return run("kai-admin", f"--node={node.host}:{node.cluster}", *arguments,
               f"--timeout={timeout}s", timeout=timeout + 10, inside=node.inside)


def admin(node, *arguments, timeout=PATIENCE):
    """What kai-admin says, as a document; None where it did not end with 0."""
    result = run_admin(node, *arguments, "--json", timeout=timeout)
    return json.loads(result.stdout) if result.returncode == 0 else None


def status(node):
    """The document, settled or not."""
    return json.loads(run_admin(node, "status", "--json").stdout)


def member(document, name):
    return next(x for x in document["members"] if x["name"] == name)


def await_status(node, done, seconds=PATIENCE):
    """Asks until the answer is as wanted; the answer."""
    end = time.monotonic() + seconds
    while not done(now := status(node)):
        if time.monotonic() > end:
            raise AssertionError(f"the cluster stays so: {now}")
        time.sleep(0.1)
    return now


def wait_settled(node, seconds=PATIENCE):
    """With kai-admin; the seconds that took."""
    begin = time.monotonic()
    if admin(node, "wait-settled", timeout=seconds) is None:
        raise AssertionError(f"not settled after {seconds} s: {status(node)}")
    return time.monotonic() - begin


def wait_equal(node):
    """The same, for what was written a moment ago too: younger than 2 s it does not count."""
    time.sleep(2.1)
    wait_settled(node)


def locate(node, key):
    """The versions that the key's replicas hold, by name."""
    return {x["name"]: x for x in admin(node, "locate", key)["replicas"]}


def talk(port, text, end):
    """Sends text to a memcache port and reads until the answer ends with `end`."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(text.encode())
        answer = b""
        while not answer.endswith(end.encode()):
            piece = connection.recv(65536)
            if not piece:
                break
            answer += piece
        return answer.decode()


def store(port, key, value):
    return talk(port, f"set {key} 0 0 {len(value)}\r\n{value}\r\n", "\r\n")


def fetch(port, key):
    answer = talk(port, f"get {key}\r\n", "END\r\n")
    lines = answer.split("\r\n")
    return lines[1] if lines[0].startswith("VALUE ") else None


class TestCase(unittest.TestCase):
    """Each test has a directory of its own, which also is the children's TMPDIR."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="kai-test-")
        self.addCleanup(scratch.cleanup)
        self.directory = pathlib.Path(scratch.name)
        os.environ["TMPDIR"] = scratch.name

    def cluster_in(self, name, count, *arguments):
        """A settled cluster with a directory of its own, where a test has several."""
        directory = self.directory / name
        directory.mkdir()
        nodes = Nodes(directory, count, *arguments)
        self.addCleanup(nodes.__exit__)
        wait_settled(nodes.nodes[0])
        return nodes

    def check_complaint(self, result, status, *parts):
        """One line on stderr that names the matter, nothing on stdout."""
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)


class TimedResult(unittest.TextTestResult):
    """Says how long each test took."""

    def startTest(self, test):
        self.begin = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test):
        self.stream.write(f"{time.monotonic() - self.begin:.1f} s ")
        super().addSuccess(test)


def main():
    unittest.main(verbosity=2, testRunner=unittest.TextTestRunner(verbosity=2,
                                                                  resultclass=TimedResult))
