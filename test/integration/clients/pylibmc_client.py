"""Python pylibmc, on libmemcached, in text and binary: through the first port, then the second."""

import sys

import pylibmc


def check(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r}")


for binary in (False, True):
    first, second = (pylibmc.Client([f"127.0.0.1:{port}"], binary=binary,
                                    behaviors={"cas": True}) for port in sys.argv[1:])
    first.delete("key")
    check("set", first.set("key", "value", time=1000), True)
    check("get", second.get("key"), "value")
    check("add", second.add("key", "other"), False)
    check("replace", second.replace("key", {"a": [1, 2]}), True)
    check("structure", first.get("key"), {"a": [1, 2]})
    check("missing", first.get("missing"), None)
    check("set_multi", first.set_multi({"a": "1", "b": "2"}), [])
    check("get_multi", second.get_multi(["a", "b", "missing"]), {"a": "1", "b": "2"})
    _, cas = first.gets("a")
    check("cas", second.cas("a", "new", cas), True)
    check("cas again", first.cas("a", "newer", cas), False)
    first.set("text", "b")
    check("append", first.append("text", "c"), True)
    check("prepend", second.prepend("text", "a"), True)
    check("joined", second.get("text"), "abc")
    first.set("count", 41)
    check("incr", second.incr("count"), 42)
    check("decr", first.decr("count", 2), 40)
    check("touch", second.touch("count", 100), True)
    check("long", first.set("long", "x" * 500_000), True)
    check("long back", len(second.get("long")), 500_000)
    check("delete", first.delete("key"), True)
    check("deleted", second.get("key"), None)
    check("stats", first.get_stats()[0][1]["version"], b"1.6.18")
