#!/usr/bin/env python3
"""Plays the dialogues of the given files to a memcached on 127.0.0.1 and writes down its answers.

    record.py PORT FILE...          rewrites the files
    record.py --check PORT FILE...  says where the answers differ (of a kai-node, say); exit status 1

The server has to be empty: every dialogue starts with flush_all.
"""
import re
import socket
import sys


def unescape(text):
    text = re.sub(r"\{(.+?)\*(\d+)\}", lambda m: m[1] * int(m[2]), text)
    return re.sub(r"\\(x..|.)", lambda m: {"r": "\r", "n": "\n", "t": "\t", "0": "\0"}.get(
        m[1], chr(int(m[1][1:], 16)) if m[1][0] == "x" and len(m[1]) == 3 else m[1]), text)


def escape(data):
    special = {"\r": "\\r", "\n": "\\n", "\t": "\\t", "\0": "\\0", "\\": "\\\\"}
    text = "".join(special.get(c, c if " " <= c <= "~" else f"\\x{ord(c):02x}") for c in data)
    return re.sub(r"([^\\])\1{59,}", lambda m: "{%s*%d}" % (m[1], len(m[0])), text)


def exchange(port, sent):
    """The bytes that come back, and whether the server closed the connection."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"flush_all noreply\r\n")
        try:
            connection.sendall(sent.encode("latin1"))
            connection.settimeout(0.4)
            received = b""
            while chunk := connection.recv(1 << 16):
                received += chunk
            return received.decode("latin1"), True
        except TimeoutError:
            return received.decode("latin1"), False


def answer_lines(received, closed):
    lines = [f"< {escape(line)}" for line in re.findall(r"[^\n]*\n|[^\n]+$", received)]
    return lines + (["!"] if closed else [])


def play(port, lines):
    result, sent = [], ""
    for line in [*lines, ""]:
        if line.startswith(">"):
            sent += unescape(line[2:])
        elif line[:1] not in ("<", "!") or not line:
            if sent and not line:
                result += answer_lines(*exchange(port, sent))
                sent = ""
        if line[:1] not in ("<", "!"):
            result.append(line)
    return result[:-1]


def main(arguments):
    check = arguments[0] == "--check"
    port, files = int(arguments[check]), arguments[check + 1:]
    differs = False
    for name in files:
        with open(name) as file:
            old = file.read().splitlines()
        new = play(port, old)
        if check:
            for a, b in zip(old, new):
                if a != b:
                    print(f"{name}: expected {a[:200]}\n{name}: received {b[:200]}")
            differs |= old != new
        else:
            with open(name, "w") as file:
                file.write("\n".join(new) + "\n")
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
