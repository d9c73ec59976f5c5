// Live updates: a visible page is fetched periodically, and only what differs from the last version of the server is
// changed in the document. So details stay open, and the text being read stays in its place.
(() => {
  "use strict";

  let latest = document.body.cloneNode(true);  // the body as the server sent it last
  let text = null;
  let requestedAt = Date.now(), updatedAt = requestedAt;
  let failures = 0;
  let timer = 0;

  function schedule() {
    showAge();
    clearTimeout(timer);
    const period = Number(document.body.dataset.refresh) * 1000;
    if (document.hidden || !period) return;
    // Jitter spreads visitors over time; after failures the pauses grow.
    const pause = period * Math.min(1 + failures, 6) * (0.85 + 0.3 * Math.random());
    timer = setTimeout(refresh, Math.max(requestedAt + pause - Date.now(), 0));
  }

  async function refresh() {
    const address = location.href;
    requestedAt = Date.now();
    try {
      const html = await fetchPage(address);
      if (address !== location.href) return;  // the filter was changed meanwhile
      apply(html);
      updatedAt = Date.now();
      failures = 0;
    } catch {
      failures += 1;
    }
    schedule();
  }

  async function fetchPage(address) {
    const controller = new AbortController();
    const timeout = setTimeout(() => controller.abort(), 15000);
    try {
      const headers = { Accept: "text/html" };
      const reply = await fetch(address, { cache: "no-cache", headers, signal: controller.signal });
      if (!reply.ok && reply.status !== 404) throw new Error(String(reply.status));
      return await reply.text();
    } finally {
      clearTimeout(timeout);
    }
  }

  function apply(html) {
    if (html === text) return;
    const fresh = new DOMParser().parseFromString(html, "text/html");
    if (!fresh.getElementById("content")) throw new Error("not a page of this site");
    const style = fresh.querySelector("[rel=stylesheet]").getAttribute("href");
    if (!document.head.innerHTML.includes(style)) location.reload();  // the server was upgraded or reconfigured
    const anchor = firstVisible(), top = anchor.getBoundingClientRect().top;
    const focused = document.activeElement;
    update(document.body, latest, fresh.body);
    latest = fresh.body;
    text = html;
    document.title = fresh.title;
    document.dispatchEvent(new Event("updated"));
    if (focused.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
    const moved = anchor.isConnected ? anchor.getBoundingClientRect().top - top : 0;
    if (moved) scrollBy(0, moved);
  }

  // Folded categories: their monitors are fetched into place when they are opened, and again after each update.

  const folds = new Map();  // by id: the monitors of an open one, as the server sent them last
  const KEPT = `open ${location.pathname}`;

  function onFoldClick(event) {
    const link = event.target.closest && event.target.closest(".fold h2 a");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const fold = link.closest(".fold");
    if (folds.has(fold.id)) close(fold);
    else open(fold, true);
  }

  async function open(fold, leavesIfItFails) {
    folds.set(fold.id, document.createElement("div"));
    fold.classList.add("loading");
    showFolds();
    try {
      await load(fold);
    } catch {
      close(fold);
      if (leavesIfItFails) location.href = fold.querySelector("h2 a").href;
    }
    fold.classList.remove("loading");
  }

  function close(fold) {
    folds.delete(fold.id);
    fold.querySelector(".loaded").replaceChildren();
    showFolds();
  }

  async function load(fold) {
    const html = await fetchPage(fold.querySelector("h2 a").href);
    if (!folds.has(fold.id)) return;  // closed meanwhile
    const fresh = document.createElement("div");
    const page = new DOMParser().parseFromString(html, "text/html");
    fresh.append(...page.querySelectorAll("#groups .rows, #monitors > .pager"));
    if (!fresh.firstElementChild) throw new Error("no monitors");
    updateChildren(fold.querySelector(".loaded"), [...folds.get(fold.id).childNodes], [...fresh.childNodes]);
    folds.set(fold.id, fresh);
    document.dispatchEvent(new Event("loaded"));
  }

  function showFolds() {
    for (const fold of document.querySelectorAll(".fold")) {
      const link = fold.querySelector("h2 a");
      link.setAttribute("role", "button");
      link.setAttribute("aria-expanded", folds.has(fold.id));
      fold.querySelector(".loaded").hidden = !folds.has(fold.id);
    }
    try { sessionStorage.setItem(KEPT, JSON.stringify([...folds.keys()])); } catch { /* they open anew */ }
  }

  function reopenFolds() {
    let kept = [];
    try { kept = JSON.parse(sessionStorage.getItem(KEPT)) || []; } catch { /* none is kept */ }
    for (const id of kept) {
      const fold = document.getElementById(id);
      if (fold) open(fold, false);
    }
    showFolds();
  }

  function updateFolds() {
    showFolds();
    for (const id of [...folds.keys()]) {
      const fold = document.getElementById(id);
      if (fold) load(fold).catch(() => { /* they stay as they are until the next update */ });
      else folds.delete(id);
    }
  }

  // The filter: the page is updated to the one with its text while somebody types.

  let typing = 0;

  function onInput({ target }) {
    if (target.id !== "filter") return;
    clearTimeout(typing);
    typing = setTimeout(() => {
      const text = target.value.trim();
      history.replaceState(null, "", `${location.pathname}${text ? `?${new URLSearchParams({ q: text })}` : ""}`);
      refresh();
    }, 250);
  }

  // The first element in view, which must not move when content above it comes or goes.
  function firstVisible() {
    let element = document.body;
    while (element.getBoundingClientRect().top < 0) {
      const inner = [...element.children].find((child) => {
        const box = child.getBoundingClientRect();
        return box.bottom > 0 && box.height > 0;
      });
      if (!inner) break;
      element = inner;
    }
    return element;
  }

  // `before` and `after` are versions of the server; `current` also has the changes of visitors and scripts.
  function update(current, before, after) {
    if (before.isEqualNode(after)) return;
    if (before.firstElementChild || after.firstElementChild) {
      updateChildren(current, [...before.childNodes], [...after.childNodes]);
    } else if (before.textContent !== after.textContent) {
      current.textContent = after.textContent;
    }
    if (after.attributes) updateAttributes(current, before, after);
  }

  function updateChildren(current, before, after) {
    const nodes = [...current.childNodes];
    const updated = after.map((node, place) => {
      const find = (list) => node.id ? list.find(({ id }) => id === node.id) : list[place];
      const [existing, previous] = [find(nodes), find(before)];
      const isSame = [existing, previous].every((other) => other && other.nodeName === node.nodeName && other.id === node.id);
      if (isSame) update(existing, previous, node);
      return isSame ? existing : document.importNode(node, true);
    });
    const differs = updated.length !== nodes.length || updated.some((node, place) => node !== nodes[place]);
    if (differs) current.replaceChildren(...updated);
  }

  function updateAttributes(current, before, after) {
    for (const { name } of before.attributes) if (!after.hasAttribute(name)) current.removeAttribute(name);
    for (const { name, value } of after.attributes) {
      if (value !== before.getAttribute(name)) current.setAttribute(name, value);
    }
  }

  function showAge() {
    const notice = document.getElementById("stale");
    notice.hidden = failures < 2;
    if (notice.hidden) return;
    const minutes = Math.max(1, Math.round((Date.now() - updatedAt) / 60000));
    const format = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "always" });
    const ago = minutes < 120 ? format.format(-minutes, "minute") : format.format(-Math.round(minutes / 60), "hour");
    notice.textContent = document.body.dataset.away.replace("%(ago)s", ago);
  }

  const asOf = document.querySelector("#as-of time");
  const time = asOf ? Date.parse(asOf.dateTime) : requestedAt;
  if (requestedAt - time > 120000) requestedAt = updatedAt = time;  // from the browser's cache, as after going back
  document.addEventListener("click", onFoldClick);
  document.addEventListener("input", onInput);
  document.addEventListener("updated", updateFolds);
  document.addEventListener("visibilitychange", schedule);
  addEventListener("pageshow", schedule);
  addEventListener("online", refresh);
  reopenFolds();
  schedule();
})();
