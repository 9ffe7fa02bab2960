#!/usr/bin/env python3
"""Rules of the house that a script can see: style_test.py [REPOSITORY]."""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
ROOMS = ("protocol", "storage", "actors", "apps", "test")
# What each room may include besides itself; tests may include everything.
MAY_INCLUDE = {
    "protocol": set(),
    "storage": {"protocol"},
    "actors": {"protocol", "storage"},
    "apps": {"protocol", "storage", "actors"},
    "test": set(ROOMS),
}
# What the pure rooms may take from outside: values, no actor, socket, clock, file or random source.
PURE_CAF = {"caf/sec.hpp", "caf/config.hpp",
            "caf/serializer.hpp", "caf/deserializer.hpp",
            "caf/expected.hpp", "caf/error.hpp", "caf/message.hpp", "caf/make_message.hpp",
            "caf/actor_system_config.hpp", "caf/optional.hpp", "caf/none.hpp", "caf/fwd.hpp",
            "caf/timespan.hpp", "caf/string_view.hpp", "caf/span.hpp"}
IMPURE_STD = {"fstream", "filesystem", "thread", "mutex", "random", "iostream", "future",
              "condition_variable", "ctime", "time.h", "unistd.h", "sys/socket.h"}
LINES_MAX = 400
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.MULTILINE)

problems = []


def problem(path, message, line=None):
    where = f"{path.relative_to(ROOT)}" + (f":{line}" if line else "")
    problems.append(f"{where}: {message}")


def check_includes(path, room, text):
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        kind, name = match.groups()
        if kind == '"':
            target = name.split("/")[0]
            if "/" not in name or not (ROOT / name).is_file():
                problem(path, f'"{name}" is no path from the top of the repository', line)
            elif target != room and target not in MAY_INCLUDE[room]:
                problem(path, f"{room}/ must not include {target}/", line)
        elif room == "protocol":
            meta = name.startswith("caf/meta/") or name.startswith("caf/detail/")
            if name.startswith("caf/") and name not in PURE_CAF and not meta:
                problem(path, f"protocol/ is pure: no <{name}>", line)
            if name in IMPURE_STD or name.startswith("boost/asio"):
                problem(path, f"protocol/ is pure: no <{name}>", line)


def check_source(path, room):
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    check_includes(path, room, text)
    if len(lines) > LINES_MAX and not any(x.startswith("// long: ") for x in lines):
        problem(path, f"{len(lines)} lines; over {LINES_MAX} it wants a line `// long: reason`")
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            problem(path, "a tab", number)
        if line != line.rstrip():
            problem(path, "blanks at the end of the line", number)
    if path.suffix == ".hpp" and "#pragma once" not in lines:
        problem(path, "no #pragma once")
    if path.suffix == ".hpp" and "caf/all.hpp" in text:
        problem(path, "caf/all.hpp in a header: every includer pays seconds")
    if not text.endswith("\n"):
        problem(path, "no newline at the end")


def check_formatting(paths):
    tool = shutil.which("clang-format")
    if not tool or not paths:
        return
    result = subprocess.run([tool, "--dry-run", *map(str, paths)], capture_output=True, text=True,
                            cwd=ROOT, check=False)
    found = {line.split(":")[0] for line in result.stderr.splitlines() if ": warning:" in line}
    for name in sorted(found):
        problem(pathlib.Path(name), "clang-format would change it")


sources = []
for room in ROOMS:
    for path in sorted((ROOT / room).rglob("*")):
        if path.suffix in (".cpp", ".hpp") and path.is_file():
            check_source(path, room)
            sources.append(path)
check_formatting(sources)

print("\n".join(problems) or f"{len(sources)} files, nothing to complain about")
sys.exit(1 if problems else 0)
