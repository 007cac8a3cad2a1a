"use strict";
// Asks for the node's state once a second and shows it. Whatever comes from the node is text, never markup: names are chosen by
// processes that nobody need trust.

const $ = (id) => document.getElementById(id);
const samples = [];  // of counters, for rates
const kSamples = 180;
let timer = null;

const number = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; ++unit; }
  return (unit === 0 ? n : n.toFixed(1)) + " " + units[unit];
}
function duration(s) {
  const d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  return d > 0 ? `${d} d ${h} h` : h > 0 ? `${h} h ${m} min` : m > 0 ? `${m} min ${s % 60} s` : `${s} s`;
}
function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
function svg(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// columns: [title, cell of a row, class]; a cell is a text or an element.
function table(id, columns, rows, nothing) {
  const head = element("tr");
  for (const [title, , kind] of columns) {
    const cell = element("th", title, kind);
    cell.scope = "col";
    head.append(cell);
  }
  const body = rows.map((row) => {
    const line = element("tr");
    for (const [, cell, kind] of columns) {
      const made = element("td", undefined, kind);
      made.append(cell(row));
      line.append(made);
    }
    return line;
  });
  if (body.length === 0) {
    const cell = element("td", nothing, "empty");
    cell.colSpan = columns.length;
    const line = element("tr");
    line.append(cell);
    body.push(line);
  }
  $(id).replaceChildren(head, ...body);
}

function tiles(state) {
  const node = state.node;
  const shown = [
    [number.format(node.slots.used) + " of " + number.format(node.slots.limit), "slots" + (node.slots.draining ? `, ${node.slots.draining} draining` : "")],
    [number.format(node.sessions.used) + " of " + number.format(node.sessions.limit), "processes with a session"],
    [bytes(node.memory.total - node.memory.free), `of ${bytes(node.memory.total)} slot memory used`],
    [number.format(node.links.filter((link) => link.up).length) + " of " + number.format(node.links.length), "links up"],
    [number.format(node.service_count), "services here"],
    [node.card, "card: " + node.card_chosen.why],
    [duration(node.uptime_s), "since slotwired was started" + (node.recovered ? "; it took over from one before" : "")],
  ];
  $("tiles").replaceChildren(...shown.map(([value, text]) => {
    const tile = element("div", undefined, "tile");
    tile.append(element("b", value), element("span", text));
    return tile;
  }));
}

function problems(state) {
  const found = [];
  for (const link of state.node.links) {
    if (!link.up) found.push(`The link to ${link.peer} is down: ${link.reason || "no reason is known"}.`);
    else if (link.reason) found.push(`The link to ${link.peer}: ${link.reason}.`);
  }
  for (const service of state.node.services) {
    if (service.failing) found.push(`${service.failing} of ${service.processes} processes of ${service.service} do not answer, or are not ready.`);
  }
  for (const service of state.node.remote_services || []) {
    if (service.failing) found.push(`The service ${service.service} is failing on node ${service.node}.`);
  }
  for (const slot of state.slots) {
    if (slot.fault && slot.fault !== "none") found.push(`Slot ${slot.slot} of ${slot.name || "a process that ended"} (service ${slot.service}) is faulted: ${slot.fault}. Its process wrote a mark that cannot be.`);
  }
  const node = state.node;
  if (node.slots.used >= node.slots.limit * 0.9) found.push("More than nine tenths of all slots are in use (limits.slots).");
  if (node.memory.free < node.memory.total * 0.1) found.push("Less than a tenth of the slot memory is free (limits.memory).");
  if (node.clients.cut_off > 0) found.push(`${node.clients.cut_off} processes did not read their answers and were ended.`);
  $("problems").replaceChildren(...found.map((text) => element("li", text)));
  $("problems-section").hidden = found.length === 0;
}

function path(points, width, height, most) {
  return points.map((y, i) => (i === 0 ? "M" : "L") + (width * i / Math.max(1, kSamples - 1)).toFixed(1) + " " + (height - 4 - (height - 18) * y / most).toFixed(1)).join("");
}
function rates(state) {
  const counters = state.node.counters;
  samples.push({ when: state.when_ms, sent: counters.tx_lines, received: counters.rx_lines, pid: state.node.pid });
  if (samples.length > kSamples + 1) samples.shift();
  const sent = [], received = [];
  for (let i = 1; i < samples.length; ++i) {
    const seconds = (samples[i].when - samples[i - 1].when) / 1000;
    const same = seconds > 0 && samples[i].pid === samples[i - 1].pid;
    sent.push(same ? Math.max(0, (samples[i].sent - samples[i - 1].sent) / seconds) : 0);
    received.push(same ? Math.max(0, (samples[i].received - samples[i - 1].received) / seconds) : 0);
  }
  const most = Math.max(1, ...sent, ...received);
  const chart = $("rates"), width = 600, height = 112;
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  chart.setAttribute("preserveAspectRatio", "none");
  chart.replaceChildren(svg("path", { d: path(sent, width, height, most), class: "a" }), svg("path", { d: path(received, width, height, most), class: "b" }),
                        svg("text", { x: 2, y: 10 }, compact.format(most)));
  $("sent-now").textContent = compact.format(sent.at(-1) ?? 0);
  $("received-now").textContent = compact.format(received.at(-1) ?? 0);
}

function answers(state) {
  const { bounds, cumulative, count } = state.answers;
  const each = cumulative.map((sum, i) => sum - (i === 0 ? 0 : cumulative[i - 1]));
  const most = Math.max(1, ...each), width = 600, height = 112, step = width / each.length;
  const names = bounds.map((s) => s < 1 ? `${s * 1000} ms` : `${s} s`).concat("more");
  const chart = $("answers");
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  chart.replaceChildren(...each.flatMap((n, i) => {
    const tall = (height - 18) * n / most;
    return [svg("rect", { x: i * step + 2, y: height - 14 - tall, width: step - 4, height: tall }), svg("text", { x: i * step + 3, y: height - 3 }, names[i])];
  }));
  $("answers-text").textContent = `${number.format(count)} answers since this page's program was started`;
}

function meter(used, size, what) {
  const made = element("meter");
  made.max = size;
  made.value = used;
  made.high = size * 0.9;
  made.title = `${used} of ${size} lines ${what}`;
  return made;
}
const ahead = (a, b) => (a - b) >>> 0;
function space(slot, head, tail, size, what) {
  const made = element("span");
  if (!slot.marks || slot.pairing === "direct") return made;
  const used = ahead(slot.marks[tail], slot.marks[head]);
  made.append(meter(Math.min(used, size), size, what), " ", element("span", `${slot.marks[head]} – ${slot.marks[tail]}`, "marks"));
  return made;
}
function slots(state) {
  const filter = $("filter").value;
  const holds = (slot) => slot.marks && slot.pairing !== "direct" && (slot.marks.in_tail !== slot.marks.in_head || slot.marks.out_tail !== slot.marks.out_head);
  const faulted = (slot) => slot.fault && slot.fault !== "none";
  const rows = state.slots.filter((slot) => filter === "all" || (filter === "busy" ? holds(slot) : faulted(slot)));
  const kMost = 200;
  $("slot-count").textContent = rows.length > kMost ? `the first ${kMost} of ${number.format(rows.length)}` : number.format(rows.length);
  table("slots", [
    ["Slot", (slot) => String(slot.slot), "number"],
    ["Process", (slot) => slot.name ? `${slot.name} (${slot.pid})` : "ended"],
    ["Service", (slot) => slot.service + (slot.acceptor ? " (serves)" : "")],
    ["Peer", (slot) => `${slot.peer_name} (${slot.peer_pid}) on ${slot.peer_node || "this node"}`],
    ["State", (slot) => element("span", faulted(slot) ? `faulted: ${slot.fault}` : slot.pairing === "direct" ? "direct pair" : slot.state, faulted(slot) ? "bad" : "")],
    ["Input space", (slot) => space(slot, "in_head", "in_tail", slot.in_lines, "not yet at the peer")],
    ["Output space", (slot) => space(slot, "out_head", "out_tail", slot.out_lines, "not yet read")],
  ], rows.slice(0, kMost), "no slots");
}

// Requests a second and quantiles since the look before, by process, service and role.
let figures_before = new Map();
function quantile(counts, bounds, q) {
  const total = counts.reduce((a, b) => a + b, 0);
  if (total === 0) return "";
  let left = q * total;
  for (let i = 0; i < counts.length; ++i) {
    left -= counts[i];
    if (left <= 0) return (i < bounds.length ? "≤ " + time(bounds[i]) : "> " + time(bounds.at(-1)));
  }
  return "";
}
function time(us) { return us < 1000 ? `${us} µs` : us < 1e6 ? `${us / 1000} ms` : `${us / 1e6} s`; }
function requests(state) {
  const rows = [], now = new Map();
  for (const process of state.figures) {
    for (const one of process.figures) {
      const key = JSON.stringify([process.session, one.service, one.role]);
      const kept = figures_before.get(key);
      // Processes report about once a second: a look that sees nothing new shows what the last one showed.
      const fresh = !kept || kept.requests !== one.requests || state.when_ms - kept.when > 3000;
      let entry = kept;
      if (fresh) {
        const counts = kept ? one.buckets.map((n, i) => Math.max(0, n - kept.buckets[i])) : one.buckets;
        const seconds = kept ? (state.when_ms - kept.when) / 1000 : 0;
        entry = { when: state.when_ms, requests: one.requests, buckets: one.buckets, rate: seconds > 0 ? (one.requests - kept.requests) / seconds : 0,
                  p50: quantile(counts, state.figure_bounds_us, 0.5), p99: quantile(counts, state.figure_bounds_us, 0.99) };
      }
      now.set(key, entry);
      rows.push({ process, one, entry });
    }
  }
  figures_before = now;
  table("requests", [
    ["Service", (row) => row.one.service],
    ["Role", (row) => row.one.role],
    ["Process", (row) => `${row.process.name} (${row.process.pid})`],
    ["Requests", (row) => number.format(row.one.requests), "number"],
    ["A second", (row) => compact.format(row.entry.rate), "number"],
    ["p50", (row) => row.entry.p50, "number"],
    ["p99", (row) => row.entry.p99, "number"],
    ["Failed", (row) => element("span", number.format(row.one.errors), row.one.errors > 0 ? "bad" : ""), "number"],
  ], rows, "no process reports requests");
}

function show(state) {
  $("state").textContent = state.trouble || new Date(state.when_ms).toLocaleTimeString();
  $("state").className = state.trouble ? "bad" : "";
  $("node").hidden = !state.node;
  if (!state.node) return;
  const node = state.node;
  $("name").textContent = node.node;
  document.title = `${node.node} – Slotwire`;
  $("about").textContent = `slotwired ${node.version}, process ${node.pid}`;
  tiles(state);
  problems(state);
  rates(state);
  answers(state);
  requests(state);
  table("links", [
    ["Peer", (link) => link.peer],
    ["State", (link) => element("span", link.up ? "up" : "down", link.up ? "good" : "bad")],
    ["Carrier", (link) => link.carrier + (link.path ? `: ${link.path}` : "") + (link.path === "http" && link.http_way ? (link.http_way === "websocket" ? " over a WebSocket" : " by requests") : "") + (link.active && link.active !== link.carrier ? ` (${link.active} now)` : "") + (link.carrier_up ? "" : ", down")],
    ["Control", (link) => link.control_up ? "up" : "down"],
    ["Encryption", (link) => link.encryption],
    ["Sends by", (link) => link.congestion ? `${link.congestion.algorithm}, limited by ${link.congestion.limited_by}` : ""],
    ["Window, in flight", (link) => link.congestion ? `${number.format(link.congestion.window_lines)}, ${number.format(link.congestion.inflight_lines)}` : "", "number"],
    ["Round trip", (link) => link.congestion ? `${number.format(link.congestion.srtt_us)} µs` : "", "number"],
    ["Opened by it", (link) => link.slots ? `${number.format(link.slots)} slots, ${bytes(link.memory)}` : "", "number"],
    ["Control connections", (link) => number.format(link.control_connects), "number"],
    ["Remarks", (link) => link.reason || ""],
  ], node.links, "this node talks to no other ([[link]] in its configuration)");
  const serving = new Map(node.services.map((service) => [service.service, { ...service, name: service.service, clients: 0, servers: 0 }]));
  for (const slot of state.slots) {
    if (!serving.has(slot.service)) serving.set(slot.service, { name: slot.service, processes: 0, clients: 0, servers: 0 });
    ++serving.get(slot.service)[slot.acceptor ? "servers" : "clients"];
  }
  table("services", [
    ["Service", (service) => service.name],
    ["Processes here", (service) => number.format(service.processes), "number"],
    ["Well", (service) => number.format(service.well || 0), "number"],
    ["Failing", (service) => number.format(service.failing || 0), "number"],
    ["Drained", (service) => number.format(service.drained || 0), "number"],
    ["Connections of servers here", (service) => number.format(service.servers), "number"],
    ["Connections of clients here", (service) => number.format(service.clients), "number"],
  ], [...serving.values()].sort((a, b) => a.name < b.name ? -1 : 1), "no services");
  table("remote-services", [
    ["Service", (service) => service.service],
    ["On node", (service) => service.node],
    ["Health", (service) => service.failing ? "failing" : service.known ? "well" : "not known"],
    ["Processes", (service) => service.known ? number.format(service.processes) : "", "number"],
    ["Well", (service) => service.known ? number.format(service.well) : "", "number"],
  ], node.remote_services || [], "no process here has connected to a service of several nodes");
  slots(state);
  table("sessions", [
    ["Process", (session) => session.name],
    ["PID", (session) => String(session.pid), "number"],
    ["User", (session) => String(session.uid), "number"],
    ["Slots", (session) => number.format(session.slots), "number"],
    ["Slot memory", (session) => bytes(session.memory), "number"],
    ["Serves", (session) => session.services.join(", ")],
    ["State", (session) => session.attached ? "attached" : "comes back"],
    ["Health", (session) => session.services.length ? session.health : ""],
  ], state.sessions, "no process has a session");
  table("users", [
    ["User", (user) => String(user.uid), "number"],
    ["Sessions", (user) => number.format(user.sessions), "number"],
    ["Slots", (user) => number.format(user.slots), "number"],
    ["Slot memory", (user) => bytes(user.memory), "number"],
    ["Services", (user) => number.format(user.services), "number"],
    ["Opening", (user) => number.format(user.pending_opens), "number"],
  ], node.users, "nobody");
}

function ask_for_login(trouble) {
  clearTimeout(timer);
  $("node").hidden = true;
  $("logout").hidden = true;
  $("login").hidden = false;
  $("login-trouble").textContent = trouble || "";
  $("token").focus();
}

let last = null;
async function look() {
  clearTimeout(timer);
  try {
    const answer = await fetch("/api/state", { cache: "no-store" });
    if (answer.status === 401) return ask_for_login();
    if (!answer.ok) throw new Error(`slotwire-page answers with status ${answer.status}`);
    last = await answer.json();
    $("login").hidden = true;
    $("logout").hidden = false;
    show(last);
  } catch (error) {
    $("state").textContent = `No answer from slotwire-page: ${error.message}`;
    $("state").className = "bad";
  }
  timer = setTimeout(look, document.hidden ? 10000 : 1000);
}

async function log_in(token) {
  const answer = await fetch("/api/login", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
  if (answer.status === 204) {
    $("token").value = "";
    return look();
  }
  ask_for_login(await answer.text());
}

$("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  log_in($("token").value);
});
$("logout").addEventListener("click", async () => {
  await fetch("/api/logout", { method: "POST" });
  ask_for_login("Logged out.");
});
$("filter").addEventListener("change", () => { if (last && last.node) slots(last); });
document.addEventListener("visibilitychange", () => { if (!document.hidden && $("login").hidden) look(); });

const given = new URLSearchParams(window.location.hash.slice(1)).get("token");
if (given) {
  // Not kept where the browser remembers addresses.
  window.history.replaceState(null, "", window.location.pathname);
  log_in(given);
} else {
  look();
}
