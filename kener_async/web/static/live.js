// Keeps a page up to date: it is asked for again and again, as long as somebody may look at it, and only what the
// server says otherwise than before is touched. So whatever a visitor has opened stays open, and what is being
// read stays in its place.
(() => {
  "use strict";

  let known = document.body.cloneNode(true);  // what the server said last
  let text = null;
  let asked = Date.now(), heard = asked;
  let failures = 0;
  let timer = 0;

  function plan() {
    sayAge();
    clearTimeout(timer);
    const period = Number(document.body.dataset.refresh) * 1000;
    if (document.hidden || !period) return;
    // Spread over time, so that visitors do not come all at once; slower while the server is away.
    const pause = period * Math.min(1 + failures, 6) * (0.85 + 0.3 * Math.random());
    timer = setTimeout(refresh, Math.max(asked + pause - Date.now(), 0));
  }

  async function refresh() {
    asked = Date.now();
    try {
      take(await fetched());
      heard = Date.now();
      failures = 0;
    } catch {
      failures += 1;
    }
    plan();
  }

  async function fetched() {
    const patience = new AbortController();
    const late = setTimeout(() => patience.abort(), 15000);
    try {
      const headers = { Accept: "text/html" };
      const reply = await fetch(location.href, { cache: "no-cache", headers, signal: patience.signal });
      if (!reply.ok && reply.status !== 404) throw new Error(String(reply.status));
      return await reply.text();
    } finally {
      clearTimeout(late);
    }
  }

  function take(reply) {
    if (reply === text) return;
    const fresh = new DOMParser().parseFromString(reply, "text/html");
    if (!fresh.getElementById("content")) throw new Error("not a page of ours");
    const style = fresh.querySelector("[rel=stylesheet]").getAttribute("href");
    if (!document.head.innerHTML.includes(style)) location.reload();  // another version is running
    const anchor = firstInSight(), top = anchor.getBoundingClientRect().top;
    const focused = document.activeElement;
    update(document.body, known, fresh.body);
    known = fresh.body;
    text = reply;
    document.title = fresh.title;
    document.dispatchEvent(new Event("renewed"));
    if (focused.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
    const moved = anchor.isConnected ? anchor.getBoundingClientRect().top - top : 0;
    if (moved) scrollBy(0, moved);
  }

  // What comes or goes above it does not move it.
  function firstInSight() {
    let found = document.body;
    while (found.getBoundingClientRect().top < 0) {
      const inner = [...found.children].find((one) => {
        const box = one.getBoundingClientRect();
        return box.bottom > 0 && box.height > 0;
      });
      if (!inner) break;
      found = inner;
    }
    return found;
  }

  // `before` and `after` are what the server said; beside them, `shown` has what visitors and scripts have done.
  function update(shown, before, after) {
    if (before.isEqualNode(after)) return;
    if (before.firstElementChild || after.firstElementChild) {
      updateChildren(shown, [...before.childNodes], [...after.childNodes]);
    } else if (before.textContent !== after.textContent) {
      shown.textContent = after.textContent;
    }
    if (after.attributes) updateAttributes(shown, before, after);
  }

  function updateChildren(shown, before, after) {
    const here = [...shown.childNodes];
    const now = after.map((one, place) => {
      const [mine, was] = [here, before].map((all) => one.id ? all.find(({ id }) => id === one.id) : all[place]);
      const isSame = [mine, was].every((its) => its && its.nodeName === one.nodeName && its.id === one.id);
      if (isSame) update(mine, was, one);
      return isSame ? mine : document.importNode(one, true);
    });
    const isOther = now.length !== here.length || now.some((one, place) => one !== here[place]);
    if (isOther) shown.replaceChildren(...now);
  }

  function updateAttributes(shown, before, after) {
    for (const { name } of before.attributes) if (!after.hasAttribute(name)) shown.removeAttribute(name);
    for (const { name, value } of after.attributes) {
      if (value !== before.getAttribute(name)) shown.setAttribute(name, value);
    }
  }

  function sayAge() {
    const notice = document.getElementById("stale");
    notice.hidden = failures < 2;
    if (notice.hidden) return;
    const minutes = Math.max(1, Math.round((Date.now() - heard) / 60000));
    const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "always" });
    const ago = minutes < 120 ? words.format(-minutes, "minute") : words.format(-Math.round(minutes / 60), "hour");
    notice.textContent = document.body.dataset.away.replace("%(ago)s", ago);
  }

  const told = document.querySelector("#as-of time");
  const time = told ? Date.parse(told.dateTime) : asked;
  if (asked - time > 120000) asked = heard = time;  // the browser had kept it, as it does for going back
  document.addEventListener("visibilitychange", plan);
  addEventListener("pageshow", plan);
  addEventListener("online", refresh);
  plan();
})();
