#include "actors/admin_http.hpp"

namespace kai {

std::string_view admin_page() {
  return R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>kai</title>
<style>
:root { color-scheme: light dark; --line: #8883; --dim: #888; --good: #2a9d4a; --busy: #d18b00; --bad: #d0342c; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; }
header { display: flex; gap: 1rem; align-items: baseline; flex-wrap: wrap; margin-bottom: 1rem; }
.badge { color: #fff; border-radius: 1rem; padding: 0 .7rem; font-size: .85rem; background: var(--dim); }
.good { background: var(--good); } .busy { background: var(--busy); } .bad { background: var(--bad); }
.dim, th { color: var(--dim); font-weight: normal; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
.number { text-align: right; }
</style>
</head>
<body>
<header>
  <h1>kai</h1>
  <span id="settled" class="badge">...</span>
  <span id="epoch" class="dim"></span>
  <span id="problem" class="dim" role="status"></span>
</header>
<ul id="waiting"></ul>
<div class="scroll">
<table>
  <thead><tr><th>member</th><th>zone</th><th>state</th><th>memcache</th><th>cluster</th>
    <th class="number">partitions</th><th class="number">keys</th><th class="number">bytes</th><th class="number">hints</th></tr></thead>
  <tbody id="members"></tbody>
</table>
</div>
<script>
const byId = id => document.getElementById(id);
const colors = { up: "good", down: "bad" };
function bytes(n) {
  let unit = 0;
  for (; n >= 1024 && unit < 4; ++unit) n /= 1024;
  return (unit ? n.toFixed(1) : n) + " " + ["B", "KiB", "MiB", "GiB", "TiB"][unit];
}
function element(tag, text, style) {
  const result = document.createElement(tag);
  result.textContent = text;
  if (style) result.className = style;
  return result;
}
function row(member) {
  const result = document.createElement("tr");
  const state = document.createElement("td");
  state.append(element("span", member.state, "badge " + (colors[member.state] || "busy")));
  result.append(element("td", member.name), element("td", member.zone || "-"), state,
    element("td", member.memcache), element("td", member.cluster),
    element("td", member.partitions, "number"), element("td", member.keys.toLocaleString(), "number"),
    element("td", bytes(member.bytes), "number"), element("td", member.hints.toLocaleString(), "number"));
  return result;
}
function badge(text, style) {
  byId("settled").textContent = text;
  byId("settled").className = "badge " + style;
}
async function refresh() {
  try {
    const reply = await fetch("/api/v1/cluster", { signal: AbortSignal.timeout(4000) });
    if (!reply.ok) throw new Error(await reply.text());
    const cluster = await reply.json();
    badge(cluster.settled ? "settled" : "not settled", cluster.settled ? "good" : "busy");
    byId("epoch").textContent = "epoch " + cluster.epoch + ", " + cluster.members.length + " members";
    byId("problem").textContent = "";
    byId("waiting").replaceChildren(...cluster.waiting_for.map(x => element("li", x)));
    byId("members").replaceChildren(...cluster.members.map(row));
  } catch (problem) {
    badge("no answer", "bad");
    byId("problem").textContent = problem.message;
  }
  setTimeout(refresh, 1000);
}
refresh();
</script>
</body>
</html>
)html";
}

} // namespace kai
