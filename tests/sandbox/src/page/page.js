// The page of the sandbox: draws what /_sandbox/events says, and posts what the buttons ask.
"use strict";

const MOST_KEYS = 12; // More would not fit beside one another; the table has all of them.
const MOST_CALLS = 100;
const find = (id) => document.getElementById(id);
let state = null;
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

/** The keys of the chart: those that are left, and the newest of the deleted ones. */
function chartKeys() {
  const left = state.keys.length - MOST_KEYS;
  let toSkip = Math.max(0, left);
  return state.keys.filter((key) => !(key.state === "deleted" && toSkip > 0 && toSkip--)).slice(-MOST_KEYS);
}

const labelsOf = (key) => {
  const version = state.versions.find((version) => version.id === key.version);
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
  const left = state.keys.length - shown.length;
  find("keys-note").textContent = left ? `${left} more in the table.` : "";
  find("keys-table").replaceChildren(...state.keys.map((key) => element("tr", {},
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

function drawTables() {
  const rows = [...state.versions].reverse().map((version) => {
    const id = element("code", { title: version.id }, short(version.id));
    const labels = version.labels.length ? version.labels.map(label) : [element("span", { class: "empty" }, "none")];
    return element("tr", {}, cell(id), cell(...labels), cell(version.key ? code(version.key) : "no value yet"));
  });
  const none = element("tr", {}, element("td", { colspan: "3", class: "empty" }, "No version yet."));
  find("versions").replaceChildren(...(rows.length ? rows : [none]));
  const current = state.versions.find((version) => version.labels.includes("AWSCURRENT"));
  find("targets").replaceChildren(...state.targets.map((target) => {
    const isSame = current && current.key === target.key;
    const same = !current ? "no key yet" : isSame ? "the same key" : "another key";
    return element("tr", {}, cell(code(target.name)), cell(target.key ? code(target.key) : "–"), cell(same));
  }));
}

function draw(next) {
  const before = state;
  state = next;
  find("secret").textContent = state.secret;
  for (const button of document.querySelectorAll("[data-break]")) {
    button.setAttribute("aria-pressed", String(state.broken.includes(button.dataset.break)));
  }
  drawKeys();
  drawTables();
  if (!before) say(state.rotating ? "A rotation is in progress." : "Ready.");
  if (before && before.rotating && !state.rotating) {
    const current = state.keys.find((key) => key.state === "in use");
    const isPending = state.versions.some(({ labels }) => labels.includes("AWSPENDING") && !labels.includes("AWSCURRENT"));
    if (isPending || !current) say("The rotation ended without success.", true);
    else say(`The rotation succeeded. Key ${current.key} is in use.`);
  }
}

function entryRow(entry) {
  if (entry.kind === "step") {
    const end = entry.took === undefined ? "running" : entry.error ? `failed after ${length(entry.took)}` : `done in ${length(entry.took)}`;
    const row = element("tr", { class: "step" }, cell(clock(entry.at)), element("td", { colspan: "2" }, entry.step, " ",
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
  if (entry.error) say(`${entry.step} failed: ${entry.error}`, true);
  else if (entry.step !== "Secret Label Updated") say(`${entry.step} is done.`);
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

for (const button of document.querySelectorAll("button")) {
  button.addEventListener("click", () => {
    const { post: path, said, break: what } = button.dataset;
    const pressed = button.getAttribute("aria-pressed") === "true";
    post(what ? `${pressed ? "fix" : "break"}?what=${what}` : path, said);
  });
}

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
