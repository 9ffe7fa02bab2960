// Node memcached (text): through the first port, then the second.
const assert = require("assert");
const Memcached = require("memcached");
const { promisify } = require("util");

const calls = ["set", "get", "gets", "cas", "add", "replace", "append", "prepend", "incr", "decr",
  "touch", "del", "getMulti", "version", "stats", "flush"];
const [first, second] = process.argv.slice(2).map((port) => {
  const client = new Memcached(`127.0.0.1:${port}`, { retries: 0, timeout: 5000 });
  const promises = { end: () => client.end() };
  for (const call of calls) promises[call] = promisify(client[call]).bind(client);
  return promises;
});

async function run() {
  assert.strictEqual(await first.set("key", "value", 1000), true);
  assert.strictEqual(await second.get("key"), "value");
  await assert.rejects(second.add("key", "other", 0), /not stored/);
  assert.strictEqual(await second.replace("key", { a: [1, 2] }, 0), true);
  assert.deepStrictEqual(await first.get("key"), { a: [1, 2] });
  assert.strictEqual(await first.get("missing"), undefined);
  await first.set("a", "1", 0);
  await first.set("b", "2", 0);
  assert.deepStrictEqual({ ...await second.getMulti(["a", "b", "missing"]) }, { a: "1", b: "2" });
  const { cas } = await first.gets("a");
  assert.strictEqual(await second.cas("a", "new", cas, 0), true);
  assert.strictEqual(await first.cas("a", "newer", cas, 0), false);
  assert.strictEqual(await second.append("a", "!"), true);
  assert.strictEqual(await first.prepend("a", ">"), true);
  assert.strictEqual(await second.get("a"), ">new!");
  await first.set("count", 41, 0);
  assert.strictEqual(await second.incr("count", 1), 42);
  assert.strictEqual(await first.decr("count", 2), 40);
  assert.strictEqual(await first.incr("missing", 1), false);
  assert.strictEqual(await second.touch("count", 100), true);
  const bytes = Buffer.from([0, 13, 10, 128, 255]);
  await first.set("bytes", bytes, 0);
  assert.deepStrictEqual(await second.get("bytes"), bytes);
  const long = "x".repeat(500000);
  assert.strictEqual(await first.set("long", long, 0), true);
  assert.strictEqual(await second.get("long"), long);
  assert.strictEqual(await first.del("key"), true);
  assert.strictEqual(await second.get("key"), undefined);
  assert.strictEqual((await first.version())[0].version, "1.6.18");
  assert.strictEqual((await first.stats())[0].version, "1.6.18");
  await first.flush();
  assert.strictEqual(await second.get("a"), undefined);
}

run().then(() => [first, second].forEach((client) => client.end()), (err) => {
  console.error(err);
  process.exit(1);
});
