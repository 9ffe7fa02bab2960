# Ruby dalli in binary and meta: through the first port, then the second.
require "dalli"

def check(what, got, wanted)
  abort "#{what}: #{got.inspect}" unless got == wanted
end

%i[binary meta].each do |protocol|
  first, second = ARGV.map { |port| Dalli::Client.new("127.0.0.1:#{port}", protocol: protocol) }
  first.delete("key")
  check "set", first.set("key", "value", 1000) ? true : false, true
  check "get", second.get("key"), "value"
  check "add", second.add("key", "other") ? true : false, false
  check "replace", second.replace("key", { a: [1, 2] }) ? true : false, true
  check "structure", first.get("key"), { a: [1, 2] }
  check "missing", first.get("missing"), nil
  ("a".."z").each { |key| first.set(key, "value of #{key}") }
  check "get_multi", second.get_multi(*("a".."z"), "missing").size, 26
  first.set("number", "1")
  check "cas", second.cas("number") { |value| (value.to_i + 1).to_s } ? true : false, true
  check "after cas", first.get("number"), "2"
  first.set("text", "b", 0, raw: true)
  first.append("text", "c")
  second.prepend("text", "a")
  check "joined", first.get("text", raw: true), "abc"
  first.delete("count")
  check "incr makes", first.incr("count", 1, nil, 41), 41
  check "incr", second.incr("count", 1), 42
  check "decr", first.decr("count", 2), 40
  check "touch", second.touch("count", 100) ? true : false, true
  check "gat", second.gat("key", 100), { a: [1, 2] }
  check "long", first.set("long", "x" * 500_000) ? true : false, true
  check "long back", second.get("long").size, 500_000
  check "delete", first.delete("key"), true
  check "deleted", second.get("key"), nil
  check "stats", first.stats.values.first["version"], "1.6.18"
end
