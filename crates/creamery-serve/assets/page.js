"use strict";
// The pages work without this: it keeps them up to date, sorts tables and shows what is pointed at.

const page = document.body.dataset;
document.documentElement.classList.add("js");

// What is pointed at tells of itself.
const tip = document.getElementById("tip");
let pointed = null;

function said(mark) {
  const title = mark.querySelector(":scope > title");
  if (title) {
    // Else the browser would show it once more.
    mark.dataset.tip = title.textContent;
    mark.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  return mark.dataset.tip || mark.dataset.name || "";
}

function point(event) {
  const mark = event.target.closest ? event.target.closest("svg [data-name]") : null;
  if (!mark) {
    if (pointed) { pointed = null; tip.hidden = true; }
    return;
  }
  if (mark !== pointed) {
    pointed = mark;
    tip.textContent = said(mark);
    tip.hidden = tip.textContent === "";
  }
  const box = tip.getBoundingClientRect(), gap = 14;
  let x = event.clientX + gap, y = event.clientY + gap;
  if (x + box.width > innerWidth - 4) x = Math.max(4, event.clientX - gap - box.width);
  if (y + box.height > innerHeight - 4) y = Math.max(4, event.clientY - gap - box.height);
  tip.style.left = x + "px";
  tip.style.top = y + "px";
}
document.addEventListener("pointermove", point);
document.addEventListener("pointerdown", point);
document.addEventListener("scroll", () => { pointed = null; tip.hidden = true; }, { passive: true });

// Tables are sorted by their headings, and stay so when they change.
const orders = new Map();
const units = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

function number(text) {
  const plain = text.replace(/,/g, "").trim();
  const found = /^-?[\d.]+(e-?\d+)?/.exec(plain);
  if (!found) return NaN;
  const rest = plain.slice(found[0].length);
  return parseFloat(found[0]) * (units[rest.charAt(0)] || 1);
}

function tables(root) {
  return [...root.querySelectorAll("section table")].filter((table) => table.tHead && table.tBodies[0]);
}

function name(table) {
  const section = table.closest("section");
  return section.id + " " + tables(section).indexOf(table);
}

function sort(table, order) {
  const cell = (row) => (row.cells[order.column] ? row.cells[order.column].textContent.trim() : "");
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: cell(row), value: number(cell(row)) }));
  const numbers = table.tHead.rows[0].cells[order.column].classList.contains("number");
  rows.sort((a, b) => {
    if (!numbers) return order.sign * a.text.localeCompare(b.text);
    // What is no number comes last either way.
    if (Number.isNaN(a.value) || Number.isNaN(b.value)) return Number.isNaN(a.value) - Number.isNaN(b.value);
    return order.sign * (a.value - b.value);
  });
  table.tBodies[0].append(...rows.map((found) => found.row));
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (column === order.column) head.setAttribute("aria-sort", order.sign > 0 ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  });
}

function prepare(root) {
  for (const table of tables(root)) {
    table.classList.add("sortable");
    for (const head of table.tHead.rows[0].cells) head.tabIndex = 0;
    const order = orders.get(name(table));
    if (order) sort(table, order);
  }
}

function choose(head) {
  const table = head.closest("table"), key = name(table), before = orders.get(key);
  const falls = head.classList.contains("number") ? -1 : 1;
  const sign = before && before.column === head.cellIndex ? -before.sign : falls;
  const order = { column: head.cellIndex, sign };
  orders.set(key, order);
  sort(table, order);
}
document.addEventListener("click", (event) => {
  const head = event.target.closest("table.sortable th");
  if (head) choose(head);
});
document.addEventListener("keydown", (event) => {
  const head = event.target.closest("table.sortable th");
  if (head && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); choose(head); }
});
prepare(document);

// News come by one stream, which rests while nobody sees the page.
const link = document.getElementById("link");
let stream = null;

function show(state, text) {
  link.hidden = false;
  link.className = "link " + state;
  link.textContent = text;
}

function listen(address, take) {
  const open = () => {
    if (stream || document.hidden) return;
    stream = new EventSource(address());
    stream.onopen = () => show("on", "live");
    stream.onerror = () => {
      show("off", "connection lost");
      // A stream that was refused is not opened again by the browser.
      if (stream && stream.readyState === EventSource.CLOSED) { stream = null; setTimeout(open, 5000); }
    };
    stream.onmessage = (event) => take(JSON.parse(event.data));
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) open();
    else if (stream) { stream.close(); stream = null; show("", "resting"); }
  });
  // A page that is left gives its connection back at once.
  addEventListener("pagehide", () => { if (stream) { stream.close(); stream = null; } });
  addEventListener("pageshow", open);
  open();
}

function fill(element, html) {
  if (element.innerHTML !== html) element.innerHTML = html;
}

if (page.page === "run") {
  page.updates = "0";
  const parts = document.getElementById("parts");
  listen(() => `/api/run/${page.run}/live?version=${encodeURIComponent(page.version)}`, (news) => {
    page.version = news.version;
    page.state = news.state;
    fill(document.getElementById("head"), news.head);
    fill(document.getElementById("downloads"), news.downloads);
    const wanted = new Set(news.parts.map((part) => part.id));
    for (const child of [...parts.children]) if (!wanted.has(child.id)) child.remove();
    let before = null;
    for (const part of news.parts) {
      let section = document.getElementById(part.id);
      if (!section) { section = document.createElement("section"); section.id = part.id; }
      const place = before ? before.nextElementSibling : parts.firstElementChild;
      if (section !== place) parts.insertBefore(section, place);
      if (part.html !== null) { section.innerHTML = part.html; prepare(section); }
      before = section;
    }
    const nav = document.getElementById("nav");
    nav.replaceChildren(...news.parts.flatMap((part) => {
      const to = document.createElement("a");
      to.href = "#" + part.id;
      to.textContent = part.title;
      return [to, " "];
    }));
    page.updates = String(Number(page.updates) + 1);
    if (pointed && !pointed.isConnected) { pointed = null; tip.hidden = true; }
  });
}

if (page.page === "runs") {
  const form = document.getElementById("filter"), rows = document.getElementById("rows");
  let turn = 0, number = 0;

  const marked = () => [...rows.querySelectorAll("input[name=run]:checked")].map((box) => box.value);
  const mark = () => {
    const some = rows.querySelector("button.compare");
    if (some) some.classList.toggle("some", marked().length > 1);
  };

  async function fetchRows(query) {
    const own = ++turn;
    const answer = await fetch("/list?" + query);
    if (!answer.ok || own !== turn) return;
    const text = await answer.text();
    if (own !== turn) return;
    const chosen = new Set(marked());
    const sortedBy = rows.contains(document.activeElement) ? document.activeElement.dataset.sort : null;
    rows.innerHTML = text;
    for (const box of rows.querySelectorAll("input[name=run]")) box.checked = chosen.has(box.value);
    mark();
    if (sortedBy) { const head = rows.querySelector(`[data-sort="${sortedBy}"]`); if (head) head.focus(); }
    page.version = rows.firstElementChild.dataset.version || page.version;
  }

  function query() {
    const all = new URLSearchParams(new FormData(form));
    for (const [key, value] of [...all]) if (!value) all.delete(key);
    if (number > 0) all.set("page", number);
    return all.toString();
  }

  function changed() {
    const text = query();
    history.replaceState(null, "", "/?" + text);
    fetchRows(text).catch(() => show("off", "connection lost"));
  }

  let wait = 0;
  form.addEventListener("input", () => { number = 0; clearTimeout(wait); wait = setTimeout(changed, 150); });
  form.addEventListener("submit", (event) => { event.preventDefault(); changed(); });
  rows.addEventListener("change", mark);
  rows.addEventListener("click", (event) => {
    const to = event.target.closest("th a, .pages a");
    if (!to || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const asked = new URL(to.href).searchParams;
    form.elements.sort.value = asked.get("sort");
    form.elements.order.value = asked.get("order");
    number = Number(asked.get("page") || 0);
    changed();
  });
  number = Number(new URLSearchParams(location.search).get("page") || 0);
  mark();
  listen(() => `/api/runs/live?version=${encodeURIComponent(page.version)}`, () => {
    fetchRows(query()).catch(() => show("off", "connection lost"));
  });
}
