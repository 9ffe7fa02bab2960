// Node memjs (binary): through the first port, then the second.
const assert = require("assert");
const memjs = require("memjs");

const [first, second] = process.argv.slice(2).map((port) =>
  memjs.Client.create(`127.0.0.1:${port}`, { retries: 0, timeout: 5 }));

async function text(client, key) {
  const { value } = await client.get(key);
  return value && value.toString();
}

async function run() {
  assert.strictEqual(await first.set("key", "value", { expires: 1000 }), true);
  assert.strictEqual(await text(second, "key"), "value");
  assert.strictEqual(await second.add("key", "other", {}), false);
  assert.strictEqual(await second.replace("key", "new", {}), true);
  assert.strictEqual(await second.replace("missing", "new", {}), false);
  assert.strictEqual(await text(first, "key"), "new");
  assert.strictEqual(await text(first, "missing"), null);
  assert.strictEqual(await second.append("key", "!"), true);
  // Its prepend sends the opcode of append.
  assert.strictEqual(await text(first, "key"), "new!");
  await first.delete("count");
  const initial = await first.increment("count", 1, { initial: 41 });
  assert.deepStrictEqual([initial.success, initial.value], [true, 41]);
  assert.strictEqual((await second.increment("count", 1, {})).value, 42);
  assert.strictEqual((await first.decrement("count", 2, {})).value, 40);
  assert.strictEqual(await second.touch("count", 100), true);
  const bytes = Buffer.from([0, 13, 10, 128, 255]);
  await first.set("bytes", bytes, {});
  assert.deepStrictEqual((await second.get("bytes")).value, bytes);
  const long = "x".repeat(500000);
  assert.strictEqual(await first.set("long", long, {}), true);
  assert.strictEqual(await text(second, "long"), long);
  const many = await Promise.all([...Array(200).keys()].map(async (i) => {
    await first.set(`many-${i}`, `${i}`, {});
    return text(second, `many-${i}`);
  }));
  many.forEach((value, i) => assert.strictEqual(value, `${i}`));
  assert.strictEqual(await first.delete("key"), true);
  assert.strictEqual(await first.delete("key"), false);
  assert.strictEqual(await text(second, "key"), null);
  const stats = await new Promise((resolve, reject) =>
    first.stats((err, _, found) => (err ? reject(err) : resolve(found))));
  assert.strictEqual(stats.version, "1.6.18");
  await new Promise((resolve, reject) => first.flush((err) => (err ? reject(err) : resolve())));
  assert.strictEqual(await text(second, "bytes"), null);
}

run().then(() => [first, second].forEach((client) => client.close()), (err) => {
  console.error(err);
  process.exit(1);
});
