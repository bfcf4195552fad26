// Live updates, keyboard shortcuts and local times. Every page also works without it, by plain links and forms.

const main = () => document.getElementById("main");
const seconds = 1000;

// ---- Preferences: kept in local storage; the theme in a cookie, so that the server can render it.

const store = {
  get(name) {
    try { return localStorage.getItem(`futurecall-${name}`); } catch { return null; }
  },
  set(name, value) {
    try { localStorage.setItem(`futurecall-${name}`, value); } catch { /* Storage is disabled. */ }
  },
};

for (const part of document.querySelectorAll("[data-needs-script]")) part.hidden = false;

const themes = ["auto", "light", "dark"];
function showTheme() {
  const button = document.getElementById("theme");
  const theme = document.documentElement.dataset.theme ?? "auto";
  if (button) button.textContent = theme[0].toUpperCase() + theme.slice(1);
}
function nextTheme() {
  const now = document.documentElement.dataset.theme ?? "auto";
  const next = themes[(themes.indexOf(now) + 1) % themes.length];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  const age = next === "auto" ? 0 : 31536000;
  // Limited to the path of the dashboard.
  const root = new URL(".", new URL(document.body.dataset.live ?? ".", location.href)).pathname.replace(/(.)\/$/, "$1");
  document.cookie = `futurecall-theme=${next}; path=${root}; max-age=${age}; samesite=strict`;
  showTheme();
}

// ---- Times: distance from now, UTC or local.

let zone = store.get("zone") === "local" ? "local" : "utc";
// Difference to the database's time in `data-now`: the browser's own clock may be wrong.
let skew = 0;
function readClock() {
  const now = Number(main()?.dataset.now);
  if (now > 0) skew = now / 1000 - Date.now();
}
const two = (number) => String(number).padStart(2, "0");
function onClock(date) {
  const utc = zone === "utc";
  const part = (name) => (utc ? date[`getUTC${name}`]() : date[`get${name}`]());
  const day = `${part("FullYear")}-${two(part("Month") + 1)}-${two(part("Date"))}`;
  return `${day} ${two(part("Hours"))}:${two(part("Minutes"))}:${two(part("Seconds"))}`;
}
function roughly(s) {
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  if (s < 864000) return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
  return `${Math.floor(s / 86400)} d`;
}
function distance(date) {
  const away = (date.getTime() - Date.now() - skew) / seconds;
  const whole = Math.floor(Math.abs(away));
  if (whole === 0) return "now";
  return away > 0 ? `in ${roughly(whole)}` : `${roughly(whole)} ago`;
}
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
function showTimes() {
  for (const time of document.querySelectorAll("time.clock")) set(time, onClock(new Date(time.dateTime)));
  for (const time of document.querySelectorAll("time.distance")) set(time, distance(new Date(time.dateTime)));
  const button = document.getElementById("zone");
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (button) button.textContent = zone === "utc" ? "UTC" : "Local";
  const note = document.getElementById("zone-note");
  if (note) note.textContent = zone === "utc" ? "times in UTC" : `times in ${own}`;
}
function nextZone() {
  zone = zone === "utc" ? "local" : "utc";
  store.set("zone", zone);
  showTimes();
}

// ---- Live updates: on an event of the server, the page's main part is reloaded.

let source = null;
let paused = store.get("paused") === "yes";
let loading = false;
let again = false;
let last = 0;

/** Returns whether the user is filling in, selecting or confirming something that a reload would disturb. */
function busy() {
  const here = main();
  if (!here || !here.querySelector("[data-test]")) return true;
  if (here.querySelector("input[type=checkbox]:checked, [data-test=confirm], [data-test=result], details.control[open]")) return true;
  const active = document.activeElement;
  if (active && here.contains(active) && /^(INPUT|SELECT|TEXTAREA)$/.test(active.tagName)) return true;
  for (const field of here.querySelectorAll("input:not([type=hidden]):not([type=checkbox])")) {
    if (field.value !== field.defaultValue) return true;
  }
  const selection = getSelection();
  return Boolean(selection && !selection.isCollapsed && here.contains(selection.anchorNode));
}

async function refresh() {
  if (loading || paused || document.hidden || busy()) { again = true; return; }
  const wait = last + 2 * seconds - Date.now();
  if (wait > 0) { setTimeout(refresh, wait); return; }
  loading = true;
  again = false;
  last = Date.now();
  try {
    const url = new URL(location.href);
    // A notice is shown once.
    url.searchParams.delete("notice");
    url.searchParams.delete("signature");
    const answer = await fetch(url, { headers: { accept: "text/html" }, cache: "no-store" });
    if (answer.ok && !busy()) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch { /* The server is unreachable; the live button shows it. */ }
  loading = false;
}

function replace(page) {
  const [old, fresh] = [main(), page.getElementById("main")];
  if (!old || !fresh) return;
  const open = new Set([...old.querySelectorAll("details[open][id]")].map((details) => details.id));
  const focus = focusKey(document.activeElement, old);
  const notice = old.querySelector("[data-test=notice]");
  old.dataset.now = fresh.dataset.now;
  old.replaceChildren(...fresh.childNodes);
  if (notice) old.querySelector("h1")?.after(notice);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  for (const part of old.querySelectorAll("[data-needs-script]")) part.hidden = false;
  if (focus) [...old.querySelectorAll("a[href], tr[data-href], button")].find((one) => focusKey(one, old) === focus)?.focus({ preventScroll: true });
  readClock();
  showTimes();
  markRow();
}

/** Returns a key by which the focused element is found again after a reload. */
function focusKey(element, within) {
  if (!element || element === within || !within.contains(element)) return null;
  return element.getAttribute("href") ?? element.dataset.href ?? element.dataset.test ?? null;
}

function showLive(state) {
  const button = document.getElementById("live");
  if (!button) return;
  button.dataset.state = state;
  button.setAttribute("aria-pressed", String(!paused));
  button.querySelector(".label").textContent = { on: "Live", paused: "Paused", away: "Reconnecting" }[state];
}
function listen() {
  source?.close();
  source = null;
  if (paused || document.hidden) { showLive(paused ? "paused" : "on"); return; }
  const live = document.body.dataset.live;
  if (!live) return;
  source = new EventSource(live);
  source.addEventListener("open", () => showLive("on"));
  source.addEventListener("changed", refresh);
  source.addEventListener("error", () => {
    showLive("away");
    // The browser reconnects by itself, unless the server refused the connection.
    if (source?.readyState === EventSource.CLOSED) setTimeout(listen, 10 * seconds);
  });
}
function pause() {
  paused = !paused;
  store.set("paused", paused ? "yes" : "no");
  listen();
  if (!paused) refresh();
}
document.addEventListener("visibilitychange", () => {
  listen();
  if (!document.hidden) refresh();
});
setInterval(showTimes, 1 * seconds);
setInterval(() => { if (again) refresh(); }, 2 * seconds);
// Some changes do not affect the counted figures, so the page is also reloaded at this interval.
setInterval(refresh, 15 * seconds);

// ---- Keyboard shortcuts and clicks.

const rows = () => [...document.querySelectorAll("main tr[data-href], main ol.rows > li")];
let current = null;
function markRow() {
  for (const row of rows()) row.classList.toggle("at", key(row) === current && current !== null);
}
const key = (row) => row.dataset.href ?? row.querySelector("a")?.getAttribute("href") ?? null;
function move(step) {
  const all = rows();
  if (all.length === 0) return;
  const at = all.findIndex((row) => key(row) === current);
  const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
  current = key(next);
  markRow();
  next.querySelector("a")?.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}
function help() {
  const keys = document.getElementById("keys");
  if (keys?.open) keys.close();
  else keys?.showModal();
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox";
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const row = rows().find((one) => key(one) === current);
  const shortcuts = {
    "/": () => document.querySelector("[data-filter]")?.focus(),
    "j": () => move(1),
    "k": () => move(-1),
    "x": () => row?.querySelector("input[type=checkbox]")?.click(),
    "p": pause,
    "u": nextZone,
    "t": nextTheme,
    "?": help,
  };
  const shortcut = shortcuts[event.key];
  if (!shortcut) return;
  event.preventDefault();
  shortcut();
});
document.addEventListener("click", (event) => {
  const target = event.target.closest("button, a, input, summary, label, tr[data-href]");
  if (!target) return;
  const shortcuts = { live: pause, zone: nextZone, theme: nextTheme, help };
  if (shortcuts[target.id]) shortcuts[target.id]();
  else if (target.matches("tr[data-href]") && getSelection()?.isCollapsed !== false) location.href = target.dataset.href;
});
document.addEventListener("change", (event) => {
  if (event.target.id !== "choose-all") return;
  for (const box of document.querySelectorAll("input[name=id][form=bulk]")) box.checked = event.target.checked;
});

for (const here of document.querySelectorAll("nav a[aria-current]")) {
  here.scrollIntoView({ inline: "center", block: "nearest" });
}
readClock();
showTheme();
showTimes();
listen();
