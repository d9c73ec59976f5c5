// Progressive enhancement of all pages: the theme and window last chosen, times in the visitor's time zone, keyboard
// and touch control of the bars, copy buttons. Every page is complete without it.
(() => {
  "use strict";

  const root = document.documentElement;
  const storage = {
    get(name) {
      try { return localStorage.getItem(name); } catch { return null; }
    },
    set(name, value) {
      try { localStorage.setItem(name, value); } catch { /* private mode: the choice lasts for this page only */ }
    },
  };

  // Before the first paint, so that the page does not flash in the wrong theme.
  root.classList.add("js");
  const siteTheme = root.dataset.theme || "";
  let theme = ["light", "dark"].includes(storage.get("theme")) ? storage.get("theme") : "";
  if (theme) root.dataset.theme = theme;
  const chosen = storage.get("window");
  if (["90d", "30d", "7d", "24h", "today"].includes(chosen)) root.dataset.window = chosen;

  // The button goes from automatic (the theme of the device, or of the site) to the opposite, to the same by name,
  // and back to automatic.
  function chooseTheme() {
    const automatic = siteTheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    const opposite = automatic === "dark" ? "light" : "dark";
    theme = { "": opposite, [opposite]: automatic }[theme] || "";
    storage.set("theme", theme);
    if (theme || siteTheme) root.dataset.theme = theme || siteTheme;
    else delete root.dataset.theme;
    showTheme();
  }

  function showTheme() {
    const button = document.getElementById("theme");
    if (!button) return;
    button.title = button.dataset[theme || "automatic"];
    button.setAttribute("aria-label", button.title);
  }

  function showWindow() {
    const radio = document.getElementById(`w-${root.dataset.window}`);
    if (radio) radio.checked = true;
  }

  // Times: the server writes them in the site's time zone.

  const FORMS = {
    medium: { dateStyle: "medium", timeStyle: "short" },
    long: { dateStyle: "long", timeStyle: "short" },
    clock: { timeStyle: "short" },
  };
  const formats = {};
  const localized = new WeakMap();  // the text written for an element; a different one came from the server

  const isSameDay = (one, other) => one.toDateString() === other.toDateString();

  // But not within [data-zone], whose times and days are all of that zone.
  function localize() {
    for (const time of document.querySelectorAll("[data-form]")) {
      if (localized.get(time) === time.textContent || time.closest("[data-zone]")) continue;
      const instant = new Date(time.dateTime || time.dataset.at * 1000);  // labels of charts are no <time> elements
      const { form, since } = time.dataset;
      // The end of a range has a date of its own unless both are on the same day of the visitor.
      const shown = since ? (isSameDay(new Date(since), instant) ? "clock" : "medium") : form;
      formats[shown] = formats[shown] || new Intl.DateTimeFormat(root.lang, FORMS[shown]);
      time.title = time.textContent;
      time.textContent = formats[shown].format(instant);
      localized.set(time, time.textContent);
    }
  }

  function showZone() {
    const zone = document.getElementById("zone");
    if (zone) zone.textContent = zone.dataset.own;
  }

  // Bars: one tab stop, arrow keys move along them; the first tap shows a day's text, the second opens the day.

  const closest = ({ target }, selector) => target.closest && target.closest(selector);

  function moveAlong(event) {
    const bar = closest(event, ".bars a");
    if (!bar || event.altKey || event.ctrlKey || event.metaKey) return;
    const bars = [...bar.parentElement.children].filter((other) => other.offsetParent !== null);
    const right = root.dir === "rtl" ? -1 : 1, all = bars.length;
    const steps = { ArrowRight: right, ArrowLeft: -right, PageDown: 7, PageUp: -7, Home: -all, End: all };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const next = bars[Math.min(Math.max(bars.indexOf(bar) + step, 0), all - 1)];
    for (const other of bar.parentElement.children) other.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  function mark(bar) {
    for (const other of document.querySelectorAll(".bars .on")) if (other !== bar) other.classList.remove("on");
    if (bar) bar.classList.add("on");
  }

  let firstTapped = null;  // the bar whose text this touch has shown, so that the click does not open it

  function onPointerDown(event) {
    const bar = closest(event, ".bars a");
    const isFirst = bar && event.pointerType === "touch" && !bar.classList.contains("on");
    firstTapped = isFirst ? bar : null;
    if (isFirst || !bar) mark(bar);
  }

  function onPointerMove(event) {
    if (event.pointerType !== "touch") return;
    const under = document.elementFromPoint(event.clientX, event.clientY);
    const bar = under && under.closest(".bars a");
    if (bar) mark(bar);
  }

  function onClick(event) {
    const bar = closest(event, ".bars a");
    if (bar && bar === firstTapped) event.preventDefault();
    firstTapped = null;
    const button = closest(event, "[data-copy]");
    if (button) copy(button);
    if (closest(event, "#theme")) chooseTheme();
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  }

  function closeOnEscape(event) {
    if (event.key !== "Escape") return;
    mark(null);
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.value);
    } catch {  // browsers offer the clipboard over TLS only
      source.select();
      if (!document.execCommand("copy")) return;
    }
    const label = button.textContent;
    if (label === document.body.dataset.copied) return;
    button.textContent = document.body.dataset.copied;
    setTimeout(() => { button.textContent = label; }, 1500);
  }

  // Texts to copy need the full address, also if `public_url` is not configured.
  function completeAddresses() {
    for (const field of document.querySelectorAll("[data-origin]")) {
      field.value = field.value.replace(/(^|["(])\/(?!\/)/g, `$1${location.origin}/`);
    }
  }

  // After loading and after each live update.
  function enhance() {
    showWindow();
    showTheme();
    localize();
    showZone();
    completeAddresses();
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.addEventListener("change", ({ target }) => {
      if (target.name !== "window") return;
      root.dataset.window = target.value;
      storage.set("window", target.value);
    });
    document.addEventListener("keydown", moveAlong);
    document.addEventListener("keydown", closeOnEscape);
    document.addEventListener("pointerdown", onPointerDown);
    document.addEventListener("pointermove", onPointerMove);
    document.addEventListener("pointercancel", () => mark(null));
    document.addEventListener("click", onClick);
    enhance();
  });
  document.addEventListener("updated", enhance);
  document.addEventListener("loaded", enhance);
})();
