// What a page does beyond what it says: theme and window as last chosen, times in the visitor's zone, bars by
// keyboard and finger, copying. Everything is there without it.
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
  const chosen = kept.get("window");
  if (["90d", "30d", "7d", "24h", "today"].includes(chosen)) root.dataset.window = chosen;

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  function chooseTheme() {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept.set("theme", root.dataset.theme);
  }

  function showWindow() {
    const radio = document.getElementById(`w-${root.dataset.window}`);
    if (radio) radio.checked = true;
  }

  // Times: the server wrote them in the site's zone.

  const FORMS = {
    medium: { dateStyle: "medium", timeStyle: "short" },
    long: { dateStyle: "long", timeStyle: "short" },
    clock: { timeStyle: "short" },
  };
  const formats = {};
  const written = new WeakMap();  // what was made of a time; where it is another, the server has spoken anew

  function localize() {
    for (const time of document.querySelectorAll("[data-form]")) {
      if (written.get(time) === time.textContent) continue;
      const form = time.dataset.form;
      formats[form] = formats[form] || new Intl.DateTimeFormat(root.lang, FORMS[form]);
      const instant = new Date(time.dateTime || time.dataset.at * 1000);  // a chart's labels are no times
      time.title = time.textContent;
      time.textContent = formats[form].format(instant);
      written.set(time, time.textContent);
    }
  }

  function sayZone() {
    const zone = document.getElementById("zone");
    if (zone) zone.textContent = zone.dataset.own;
  }

  // Bars: one tab stop, arrow keys lead along them; the first tap tells of a day, the second opens it.

  const above = ({ target }, selector) => target.closest && target.closest(selector);

  function moveAlong(event) {
    const bar = above(event, ".bars a");
    if (!bar || event.altKey || event.ctrlKey || event.metaKey) return;
    const bars = [...bar.parentElement.children].filter((one) => one.offsetParent !== null);
    const right = root.dir === "rtl" ? -1 : 1, all = bars.length;
    const steps = { ArrowRight: right, ArrowLeft: -right, PageDown: 7, PageUp: -7, Home: -all, End: all };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const next = bars[Math.min(Math.max(bars.indexOf(bar) + step, 0), all - 1)];
    for (const one of bar.parentElement.children) one.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  function mark(bar) {
    for (const one of document.querySelectorAll(".bars .on")) if (one !== bar) one.classList.remove("on");
    if (bar) bar.classList.add("on");
  }

  let told = null;  // the bar that this touch has told of, and so does not open

  function touched(event) {
    const bar = above(event, ".bars a");
    const isFirst = bar && event.pointerType === "touch" && !bar.classList.contains("on");
    told = isFirst ? bar : null;
    if (isFirst || !bar) mark(bar);
  }

  function slid(event) {
    if (event.pointerType !== "touch") return;
    const under = document.elementFromPoint(event.clientX, event.clientY);
    const bar = under && under.closest(".bars a");
    if (bar) mark(bar);
  }

  function clicked(event) {
    const bar = above(event, ".bars a");
    if (bar && bar === told) event.preventDefault();
    told = null;
    const copy = above(event, "[data-copy]");
    if (copy) copied(copy);
    if (above(event, "#theme")) chooseTheme();
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  }

  function escaped(event) {
    if (event.key !== "Escape") return;
    mark(null);
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }

  async function copied(button) {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.value);
    } catch {  // there is no clipboard without TLS
      source.select();
      if (!document.execCommand("copy")) return;
    }
    const label = button.textContent;
    if (label === document.body.dataset.copied) return;
    button.textContent = document.body.dataset.copied;
    setTimeout(() => { button.textContent = label; }, 1500);
  }

  // What is to be copied must be whole also where the site's own address is not configured.
  function completeAddresses() {
    for (const field of document.querySelectorAll("[data-origin]")) {
      field.value = field.value.replace(/(^|["(])\/(?!\/)/g, `$1${location.origin}/`);
    }
  }

  // Whatever the server wrote, at first or when it was brought up to date.
  function dress() {
    showWindow();
    localize();
    sayZone();
    completeAddresses();
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.addEventListener("change", ({ target }) => {
      if (target.name !== "window") return;
      root.dataset.window = target.value;
      kept.set("window", target.value);
    });
    document.addEventListener("keydown", moveAlong);
    document.addEventListener("keydown", escaped);
    document.addEventListener("pointerdown", touched);
    document.addEventListener("pointermove", slid);
    document.addEventListener("pointercancel", () => mark(null));
    document.addEventListener("click", clicked);
    dress();
  });
  document.addEventListener("renewed", dress);
})();
