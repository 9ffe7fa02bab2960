"""Servers and load for measurements: what compare.py and bars.py share."""

import json
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")


def fail(message):
    sys.exit(f"run.sh: {message}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            fail(f"{process.args[0]} ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    fail(f"{process.args[0]} does not listen on port {port}")


class Side:
    """The server processes of one side, and the addresses of their clients' ports."""

    def __init__(self, log):
        self.processes, self.servers, self.log = [], [], log

    def start(self, command, **more):
        try:
            process = subprocess.Popen(command, stderr=self.log, stdin=subprocess.DEVNULL, **more)
        except OSError as error:
            fail(f"{command[0]}: {error.strerror}")
        self.processes.append(process)
        return process

    def cpu_seconds(self):
        """utime and stime of all processes, all of their threads included (proc(5))."""
        ticks = 0
        for process in self.processes:
            if process.poll() is not None:
                fail(f"{process.args[0]} ended with status {process.returncode} during the run")
            fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def resident_bytes(self):
        pages = sum(int(pathlib.Path(f"/proc/{x.pid}/statm").read_text().split()[1])
                    for x in self.processes)
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(6)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start_plain(side, template):
    """A server that is given its port on the command line and says nothing."""
    port = free_port()
    command = shlex.split(template.replace("{port}", str(port)))
    wait_for_port(port, side.start(command, stdout=subprocess.DEVNULL))
    side.servers.append(f"127.0.0.1:{port}")


def read_ready(process, nodes):
    """The ready lines of kai-node or kai-cluster, as dictionaries."""
    found = []
    while len(found) < nodes:
        line = process.stdout.readline()
        if not line:
            fail(f"{process.args[0]} ended before it was ready (status {process.wait()})")
        if line.startswith("kai-node ready "):
            found.append(dict(x.split("=", 1) for x in line.split()[2:]))
    return found


def start_kai(side, args, nodes, engine, directory, *more):
    """Nodes n1, n2, ... on free ports, settled; `more`: options for each of them."""
    common = [f"--storage.engine={engine}", "--storage.sync=interval",
              f"--cluster.replicas={3 if nodes > 1 else 1}", *more]
    if nodes > 1:
        common += ["--cluster.read-quorum=2", "--cluster.write-quorum=2"]
    ports = ["--memcache.port=0", "--cluster.port=0"]
    if args.kai_cluster and nodes > 1:
        command = [f"{args.bin}/kai-cluster", f"--nodes={nodes}",
                   f"--storage.directory={directory}/cluster", *ports, *common]
        process = side.start(command, stdout=subprocess.PIPE, text=True)
        ready = read_ready(process, nodes)
    else:
        ready = []
        for i in range(nodes):
            command = [f"{args.bin}/kai-node", f"--node.name=n{i + 1}",
                       f"--node.loops={args.loops}",
                       f"--storage.directory={directory}/n{i + 1}", *ports, *common]
            if ready:
                command.append(f"--cluster.seeds={ready[0]['cluster']}")
            process = side.start(command, stdout=subprocess.PIPE, text=True)
            ready += read_ready(process, 1)
    side.servers += [x["memcache"] for x in ready]
    if nodes > 1 or args.loops > 1:
        settle(args, ready[0]["cluster"])


def settle(args, node):
    """While partitions move, one would measure the move."""
    command = [f"{args.bin}/kai-admin", f"--node={node}", "wait-settled", "--timeout=60s"]
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=90)
    except (OSError, subprocess.SubprocessError) as error:
        fail(f"the cluster did not settle: {error}")


def bench(args, servers, *more):
    """A run of kai-bench, as its JSON; `more` goes before the usual options."""
    usual = [f"--connections={args.connections}", f"--value-size={args.value_size}",
             f"--keys={args.keys}", "--get-ratio=0.8"]
    given = {x.split("=")[0] for x in more}
    command = [f"{args.bin}/kai-bench", f"--servers={','.join(servers)}", "--json=-", "--quiet",
               *(x for x in usual if x.split("=")[0] not in given), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        fail(f"{shlex.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)
