// What a page does beyond what it says: theme and window as last chosen, times in the visitor's zone, bars by
// keyboard and finger, copying, and bringing itself up to date. Everything is there without it.
(() => {
  "use strict";

  const root = document.documentElement;
  const kept = {
    get(name) {
      try { return localStorage.getItem(name); } catch { return null; }
    },
    set(name, value) {
      try { localStorage.setItem(name, value); } catch { /* private mode: chosen for this page only */ }
    },
  };

  // Before anything is painted, so that nothing flashes.
  root.classList.add("js");
  const theme = kept.get("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const WINDOWS = ["90d", "30d", "7d", "24h", "today"];
  if (WINDOWS.includes(kept.get("window"))) root.dataset.window = kept.get("window");

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  function chooseTheme() {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept.set("theme", root.dataset.theme);
  }

  function showWindow() {
    const chosen = document.getElementById(`w-${root.dataset.window || "90d"}`);
    if (chosen) chosen.checked = true;
  }

  // Times: the server wrote them in the site's zone.

  const FORMS = {
    medium: { dateStyle: "medium", timeStyle: "short" },
    long: { dateStyle: "long", timeStyle: "short" },
    clock: { timeStyle: "short" },
  };
  const formats = {};

  function localize(within) {
    for (const time of within.querySelectorAll("[data-form]")) {
      const form = time.dataset.form;
      formats[form] = formats[form] || new Intl.DateTimeFormat(root.lang, FORMS[form]);
      const instant = new Date(time.dateTime || time.dataset.at * 1000);  // a chart's labels are no times
      time.title = time.title || `${time.textContent}`;
      time.textContent = formats[form].format(instant);
    }
  }

  function sayZone() {
    const zone = document.getElementById("zone");
    if (zone) zone.textContent = zone.dataset.own;
  }

  // Bars: one tab stop, arrow keys lead along them; the first tap tells of a day, the second opens it.

  function moveAlong(event) {
    const bar = event.target.closest && event.target.closest(".bars a");
    if (!bar) return;
    const bars = [...bar.parentElement.children].filter((one) => one.offsetParent !== null);
    const forward = root.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
    const backward = root.dir === "rtl" ? "ArrowRight" : "ArrowLeft";
    const steps = { [forward]: 1, [backward]: -1, PageDown: 7, PageUp: -7, Home: -bars.length, End: bars.length };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const next = bars[Math.min(Math.max(bars.indexOf(bar) + step, 0), bars.length - 1)];
    for (const one of bar.parentElement.children) one.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  function unmark() {
    for (const one of document.querySelectorAll(".bars .on")) one.classList.remove("on");
  }

  let finger = false;
  function touched(event) {
    finger = event.pointerType === "touch";
    if (!event.target.closest(".bars")) unmark();
  }

  function slid(event) {
    if (event.pointerType !== "touch") return;
    const under = document.elementFromPoint(event.clientX, event.clientY);
    const bar = under && under.closest(".bars a");
    if (bar && !bar.classList.contains("on")) {
      unmark();
      bar.classList.add("on");
    }
  }

  function clicked(event) {
    const bar = event.target.closest(".bars a");
    if (bar && finger && !bar.classList.contains("on")) {
      event.preventDefault();
      unmark();
      bar.classList.add("on");
    }
    const copy = event.target.closest("[data-copy]");
    if (copy) copied(copy);
    if (event.target.closest("#theme")) chooseTheme();
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  }

  async function copied(button) {
    const source = document.getElementById(button.dataset.copy);
    const text = source.value || source.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      source.select();
      document.execCommand("copy");
    }
    const label = button.textContent;
    button.textContent = document.body.dataset.copied;
    setTimeout(() => { button.textContent = label; }, 1500);
  }

  // What is to be copied must be whole also where the site's own address is not configured.
  function completeAddresses(within) {
    for (const field of within.querySelectorAll("[data-origin]")) {
      field.value = field.value.replaceAll('"/', `"${location.origin}/`).replaceAll("(/", `(${location.origin}/`);
      if (field.value.startsWith("/")) field.value = location.origin + field.value;
    }
  }

  function closeMenus(event) {
    if (event.key !== "Escape") return;
    unmark();
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }

  // Staying up to date: ask whether the page is another, and put only what differs in its place.

  let etag = null;
  let lastHeard = Date.now();
  let failures = 0;

  async function refresh() {
    const period = Number(document.body.dataset.refresh) * 1000;
    if (!document.hidden) {
      try {
        const reply = await fetch(location.href, {
          cache: "no-cache",
          headers: { Accept: "text/html" },
          signal: AbortSignal.timeout(15000),
        });
        if (!reply.ok) throw new Error(String(reply.status));
        if (etag !== null && reply.headers.get("ETag") !== etag) replace(await reply.text());
        etag = reply.headers.get("ETag");
        failures = 0;
        lastHeard = Date.now();
      } catch {
        failures += 1;
      }
      sayAge();
    }
    // Spread over time, so that visitors do not come all at once; slower while the server is away.
    const pause = period * Math.min(1 + failures, 6);
    setTimeout(refresh, pause * (0.85 + 0.3 * Math.random()));
  }

  function replace(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const before = document.querySelector("main");
    const ids = (within) => [...within.querySelectorAll("[data-live]")].map((one) => one.id).join();
    const anchor = firstInSight();
    const top = anchor && anchor.getBoundingClientRect().top;
    localize(fresh);
    completeAddresses(fresh);
    if (ids(fresh) !== ids(document)) {
      before.replaceWith(fresh.querySelector("main"));
    } else {
      for (const one of fresh.querySelectorAll("[data-live]")) put(one, document.getElementById(one.id));
    }
    document.title = fresh.title;
    showWindow();
    const still = anchor && (anchor.isConnected ? anchor : document.getElementById(anchor.id));
    if (still) scrollBy({ top: still.getBoundingClientRect().top - top, behavior: "instant" });
  }

  function put(fresh, old) {
    if (old.isEqualNode(fresh) || old.querySelector(".on, details[open]")) return;
    const focused = old.contains(document.activeElement) ? path(document.activeElement, old) : null;
    old.replaceWith(fresh);
    if (focused) {
      const again = focused.reduce((node, index) => node && node.children[index], fresh);
      if (again) {
        again.tabIndex = 0;
        again.focus({ preventScroll: true });
      }
    }
  }

  function path(node, within) {
    const steps = [];
    for (; node !== within; node = node.parentElement) steps.unshift([...node.parentElement.children].indexOf(node));
    return steps;
  }

  function firstInSight() {
    for (const one of document.querySelectorAll("main [id]")) {
      const box = one.getBoundingClientRect();
      if (box.bottom > 0 && box.height > 0) return one;
    }
    return null;
  }

  function sayAge() {
    const notice = document.getElementById("stale");
    if (!notice) return;
    notice.hidden = failures < 2;
    if (notice.hidden) return;
    const minutes = Math.max(1, Math.round((Date.now() - lastHeard) / 60000));
    const words = new Intl.RelativeTimeFormat(root.lang, { numeric: "always" });
    const ago = minutes < 120 ? words.format(-minutes, "minute") : words.format(-Math.round(minutes / 60), "hour");
    notice.textContent = document.body.dataset.away.replace("%(ago)s", ago);
  }

  document.addEventListener("DOMContentLoaded", () => {
    showWindow();
    localize(document);
    sayZone();
    completeAddresses(document);
    document.addEventListener("change", (event) => {
      if (event.target.name !== "window") return;
      root.dataset.window = event.target.value;
      kept.set("window", event.target.value);
    });
    document.addEventListener("keydown", moveAlong);
    document.addEventListener("keydown", closeMenus);
    document.addEventListener("pointerdown", touched);
    document.addEventListener("pointermove", slid);
    document.addEventListener("click", clicked);
    if (Number(document.body.dataset.refresh) > 0) refresh();
    document.addEventListener("visibilitychange", () => { if (!document.hidden) sayAge(); });
  });
})();
