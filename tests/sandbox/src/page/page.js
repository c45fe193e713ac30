// The page of the sandbox: draws what /_sandbox/events says, and posts what the buttons ask.
"use strict";

const MOST_KEYS = 12; // More would not fit beside one another; the table has all of them.
const MOST_CALLS = 100;
const find = (id) => document.getElementById(id);
let state = null;
let selected = null; // The name of the secret whose keys, versions and targets are shown.
let entries = new Map();

/** Creates an element; `children` are elements and texts. */
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}
const code = (text) => element("code", {}, text);
const cell = (...children) => element("td", {}, ...children);
const short = (id) => (id.length > 13 ? id.slice(0, 8) + "…" : id);

const now = () => Date.now() + (state ? state.ahead : 0);
const stamp = (time) => new Date(time).toISOString().slice(0, 19).replace("T", " ");
const clock = (time) => new Date(time).toISOString().slice(11, 19);

/** A length of time in its two largest units. */
function length(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 1) return `${Math.round(milliseconds)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  let left = Math.floor(seconds);
  const parts = units.slice(first, first + 2).map(([unit, size]) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return [count, unit];
  });
  return parts.filter(([count], place) => place === 0 || count > 0).map((part) => part.join(" ")).join(" ");
}

function say(text, isBad = false) {
  find("status").textContent = text;
  find("status").classList.toggle("bad", isBad);
}

// Time on the axis is not to scale: an interval is as wide as the logarithm of its length, so that
// both a rotation of seconds and a quarantine of a week can be seen.
function scale(times) {
  const stops = [...new Set(times)].sort((a, b) => a - b);
  const places = [0];
  for (let i = 1; i < stops.length; i += 1) {
    places.push(places[i - 1] + 0.5 + Math.log1p((stops[i] - stops[i - 1]) / 1000));
  }
  const whole = places.at(-1) || 1;
  const percent = new Map(stops.map((stop, i) => [stop, (100 * places[i]) / whole]));
  return { stops, at: (time) => percent.get(time) };
}

const isFleet = () => state.secrets.length > 1;
const nothing = { name: "none", state: "does not exist", versions: [], targets: [], rotating: false };

/** The secret whose details are shown: the one that was chosen, else the first. */
function shownSecret() {
  return state.secrets.find(({ name }) => name === selected) || state.secrets[0] || nothing;
}

/** The keys of that secret, and those of none. */
function shownKeys() {
  const { name } = shownSecret();
  return state.keys.filter((key) => key.secret === null || key.secret === name);
}

/** The keys of the chart: those that are left, and the newest of the deleted ones. */
function chartKeys() {
  const keys = shownKeys();
  let toSkip = Math.max(0, keys.length - MOST_KEYS);
  return keys.filter((key) => !(key.state === "deleted" && toSkip > 0 && toSkip--)).slice(-MOST_KEYS);
}

const labelsOf = (key) => {
  const version = shownSecret().versions.find((version) => version.id === key.version);
  return version ? version.labels : [];
};

function label(name) {
  return element("span", { class: name === "AWSCURRENT" ? "label current" : "label" }, name);
}

function history(key) {
  return key.phases.map((phase) => `${phase.state} from ${stamp(phase.since)}`).join(", ");
}

function drawKeys() {
  const shown = chartKeys();
  const rows = shown.map((key) => {
    const row = find(`key-${key.id}`) || element("li", { id: `key-${key.id}` });
    row.dataset.state = "";
    const client = element("span", { class: "client quiet" }, "client gets ", element("strong", {}, String(key.client)));
    const facts = element("div", { class: "facts" }, code(key.key), element("span", { class: "state" }, key.state),
      element("span", { class: "labels" }, ...labelsOf(key).map(label)), client);
    const track = element("div", { class: "track", role: "img", "aria-label": history(key) });
    for (const phase of key.phases) {
      track.append(element("div", { class: "phase", "data-state": phase.state, title: `${phase.state} from ${stamp(phase.since)}` },
        element("span", {}, phase.state)));
    }
    row.replaceChildren(facts, track);
    return row;
  });
  find("keys").replaceChildren(...(rows.length ? rows : [element("li", { class: "empty" }, "No key yet. Rotate to create one.")]));
  const all = shownKeys();
  const left = all.length - shown.length;
  find("keys-note").textContent = left ? `${left} more in the table.` : "";
  find("keys-table").replaceChildren(...all.map((key) => element("tr", {},
    cell(code(key.key)), cell(code(key.id)), cell(key.state), cell(String(key.client)), cell(history(key)))));
  placeKeys();
}

/** Moves the bars to where they belong now. */
function placeKeys() {
  if (!state) return;
  find("now").textContent = stamp(now());
  const shown = chartKeys();
  const end = Math.max(now(), ...shown.flatMap((key) => key.phases.map((phase) => phase.since)));
  const { stops, at } = scale([...shown.flatMap((key) => key.phases.map((phase) => phase.since)), end]);
  for (const key of shown) {
    const phases = document.querySelectorAll(`#key-${CSS.escape(key.id)} .phase`);
    phases.forEach((bar, i) => {
      const [from, to] = [key.phases[i].since, i + 1 < key.phases.length ? key.phases[i + 1].since : end];
      bar.style.left = `${at(from)}%`;
      bar.style.width = `${at(to) - at(from)}%`;
    });
  }
  drawAxis(shown.length ? stops : [], at, end);
}

function drawAxis(stops, at, end) {
  const gap = find("axis").clientWidth < 480 ? 26 : 13;
  const ticks = [];
  for (const stop of stops.slice(0, -1)) {
    const last = ticks.at(-1);
    if (last === undefined || (at(stop) - at(last) >= gap && 100 - at(stop) >= gap)) ticks.push(stop);
  }
  const texts = ticks.map((stop) => {
    const tick = element("span", {}, stop === stops[0] ? clock(stop) : `+${length(stop - stops[0])}`);
    tick.style.left = `${at(stop)}%`;
    return tick;
  });
  if (stops.length) {
    const last = element("span", {}, "now");
    last.style.left = "100%";
    texts.push(last);
  }
  find("axis").replaceChildren(...texts);
}

/** Fills an element, unless it has these texts already, so that the focus stays where it is. */
function fill(holder, children, text) {
  if (holder.dataset.drawn === text) return;
  holder.dataset.drawn = text;
  holder.replaceChildren(...children);
}

const isGood = (secret) => secret.state === "ok" || secret.state === "rotating" || secret.state === "no key";

/** Draws the row of a secret. The row and its buttons stay the same elements. */
function secretRow(secret) {
  const id = `secret-${secret.name}`;
  let row = document.getElementById(id);
  if (!row) {
    const choose = element("button", { type: "button", class: "link", "data-choose": secret.name, "aria-pressed": "false" }, secret.name);
    const rotate = element("button", { type: "button", class: "small", "data-post": `rotate?secret=${encodeURIComponent(secret.name)}`, "aria-label": `Rotate ${secret.name}` }, "Rotate");
    row = element("tr", { id }, element("th", { scope: "row" }, choose), cell(), cell(), cell(), cell(), cell(rotate));
  }
  const [name, stateCell, key, client, targets] = row.cells;
  name.firstChild.setAttribute("aria-pressed", String(secret.name === shownSecret().name));
  const why = secret.error ? `${secret.state}: ${secret.error}` : secret.state;
  fill(stateCell, [element("span", { class: isGood(secret) ? "" : "bad" }, why)], why);
  fill(key, [secret.key ? code(secret.key) : "–"], secret.key || "");
  fill(client, [element("span", { class: secret.client === 403 ? "bad" : "" }, secret.client === null ? "–" : String(secret.client))], String(secret.client));
  const lines = secret.targets.map((target) => {
    const holds = !target.key ? "no value" : target.key === secret.key ? "the same key" : "another value";
    return element("div", { class: "target" }, code(target.name), element("span", { class: target.key && target.key !== secret.key ? "bad" : "quiet" }, holds));
  });
  fill(targets, lines.length ? lines : [element("span", { class: "empty" }, "none")], JSON.stringify([secret.key, secret.targets]));
  return row;
}

function drawFleet() {
  const isShown = isFleet();
  find("fleet").hidden = !isShown;
  find("rotate").textContent = isShown ? "Rotate all" : "Rotate";
  find("count").textContent = isShown ? `${state.secrets.length} secrets; below:` : "Secret";
  find("secret").textContent = shownSecret().name;
  if (!isShown) return;
  const body = find("secrets");
  const rows = state.secrets.map(secretRow);
  const isSame = rows.length === body.children.length && rows.every((row, place) => row === body.children[place]);
  if (!isSame) body.replaceChildren(...rows);
  const well = state.secrets.filter((secret) => secret.state === "ok").length;
  find("fleet-note").textContent = `${well} of ${state.secrets.length} are ok. Choose one to see its keys, versions and targets.`;
}

/** Draws a button for each thing that can be broken besides the services. */
function drawBreakable() {
  const box = find("breakable");
  if (box.children.length === state.breakable.length) return;
  box.replaceChildren(...state.breakable.map(({ name, label }) =>
    element("button", { type: "button", "data-break": name, "aria-pressed": "false" }, label)));
}

function drawTables() {
  const { versions, targets } = shownSecret();
  const rows = [...versions].reverse().map((version) => {
    const id = element("code", { title: version.id }, short(version.id));
    const labels = version.labels.length ? version.labels.map(label) : [element("span", { class: "empty" }, "none")];
    return element("tr", {}, cell(id), cell(...labels), cell(version.key ? code(version.key) : "no value yet"));
  });
  const none = element("tr", {}, element("td", { colspan: "3", class: "empty" }, "No version yet."));
  find("versions").replaceChildren(...(rows.length ? rows : [none]));
  const current = versions.find((version) => version.labels.includes("AWSCURRENT"));
  const noTarget = element("tr", {}, element("td", { colspan: "3", class: "empty" }, "No target."));
  find("targets").replaceChildren(...targets.length ? targets.map((target) => {
    const isSame = current && current.key === target.key;
    const same = !current ? "no key yet" : isSame ? "the same key" : "another key";
    return element("tr", {}, cell(code(target.name)), cell(target.key ? code(target.key) : "–"), cell(same));
  }) : [noTarget]);
}

function draw(next) {
  const before = state;
  state = next;
  drawBreakable();
  drawFleet();
  for (const button of document.querySelectorAll("[data-break]")) {
    button.setAttribute("aria-pressed", String(state.broken.includes(button.dataset.break)));
  }
  drawKeys();
  drawTables();
  const isRotating = (some) => some.secrets.some((secret) => secret.rotating);
  if (!before) say(isRotating(state) ? "A rotation is in progress." : "Ready.");
  if (before && isRotating(before) && !isRotating(state)) sayEnd();
}

/** Says how the rotations ended, none of which is in progress any more. */
function sayEnd() {
  const failed = state.secrets.filter((secret) => {
    const isPending = secret.versions.some(({ labels }) => labels.includes("AWSPENDING") && !labels.includes("AWSCURRENT"));
    return isPending || !secret.key;
  });
  const all = state.secrets.length;
  if (isFleet() && failed.length) say(`The rotations ended; ${failed.length} of ${all} secrets have no success.`, true);
  else if (isFleet()) say("The rotations ended with success.");
  else if (failed.length) say("The rotation ended without success.", true);
  else say(`The rotation succeeded. Key ${shownSecret().key} is in use.`);
}

/** Names the secret of a step if there are several. */
const stepName = (entry) => (entry.secret && isFleet() ? `${entry.secret}: ${entry.step}` : entry.step);

function entryRow(entry) {
  if (entry.kind === "step") {
    const end = entry.took === undefined ? "running" : entry.error ? `failed after ${length(entry.took)}` : `done in ${length(entry.took)}`;
    const row = element("tr", { class: "step" }, cell(clock(entry.at)), element("td", { colspan: "2" }, stepName(entry), " ",
      element("span", { class: entry.error ? "bad" : "quiet" }, end)));
    if (entry.error) row.title = entry.error;
    return row;
  }
  const faults = entry.faults.length ? [element("div", { class: "bad" }, entry.faults.join(", "))] : [];
  const status = entry.status || (entry.faults.length ? "none" : "…");
  return element("tr", {}, cell(clock(entry.at)), cell(element("div", { class: "call" }, element("span", {}, entry.operation), element("span", { class: "quiet" }, entry.service)), ...faults),
    element("td", { class: entry.status >= 400 ? "number bad" : "number" }, String(status)));
}

function drawCalls() {
  const box = find("calls-scroll");
  const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  entries = new Map([...entries].slice(-MOST_CALLS));
  const rows = [...entries.values()].map(entryRow);
  const none = element("tr", {}, element("td", { colspan: "3", class: "empty" }, "No call yet."));
  find("calls").replaceChildren(...(rows.length ? rows : [none]));
  // Follows the newest call, unless the reader has scrolled up.
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}

/** Says how a step ended. The event for a moved label follows each rotation, whose end says more. */
function announce(entry) {
  if (entry.kind !== "step" || entry.took === undefined) return;
  if (entry.error) say(`${stepName(entry)} failed: ${entry.error}`, true);
  else if (entry.step !== "Secret Label Updated") say(`${stepName(entry)} is done.`);
}

async function post(path, said) {
  try {
    const response = await fetch(path, { method: "POST" });
    const answer = await response.json();
    say(response.ok && said ? said : answer.message, !response.ok);
  } catch {
    say("The sandbox does not answer.", true);
  }
}

// Some buttons are made later.
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { post: path, said, break: what, choose } = button.dataset;
  const pressed = button.getAttribute("aria-pressed") === "true";
  if (choose) {
    selected = choose;
    drawFleet();
    drawKeys();
    drawTables();
  } else {
    post(what ? `${pressed ? "fix" : "break"}?what=${what}` : path, said);
  }
});

const events = new EventSource("events");
events.addEventListener("open", () => { find("connection").textContent = "live"; });
events.addEventListener("error", () => { find("connection").textContent = "lost, connecting again"; });
events.addEventListener("snapshot", (event) => draw(JSON.parse(event.data)));
events.addEventListener("activity", (event) => {
  entries = new Map(JSON.parse(event.data).map((entry) => [entry.id, entry]));
  drawCalls();
});
events.addEventListener("entry", (event) => {
  const entry = JSON.parse(event.data);
  entries.set(entry.id, entry);
  drawCalls();
  announce(entry);
});
setInterval(placeKeys, 1000);
