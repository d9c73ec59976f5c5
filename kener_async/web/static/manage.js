// The signed-in side is complete without this. It keeps what is typed in the browser until it is posted, warns of what
// is not saved, fills in texts that are chosen, filters lists, shows times of the browser's zone, refreshes the overview.
(() => {
  "use strict";

  const root = document.documentElement, body = document.body;
  root.classList.add("js");
  const KEPT_DAYS = 7;
  const store = {
    get(name) { try { return JSON.parse(localStorage.getItem(name)); } catch { return null; } },
    set(name, value) { try { localStorage.setItem(name, JSON.stringify(value)); } catch { /* it is not kept */ } },
    drop(name) { try { localStorage.removeItem(name); } catch { /* there is none */ } },
    names() { try { return Object.keys(localStorage).filter((name) => name.startsWith("kept ")); } catch { return []; } },
  };
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch { /* that of the system */ }

  // Times: the server writes them in the person's zone; those of the browser's are the titles.

  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const local = new Intl.DateTimeFormat(root.lang, { dateStyle: "medium", timeStyle: "short" });

  function showLocalTimes() {
    if (own === body.dataset.zone) return;
    for (const time of document.querySelectorAll("time[datetime]")) {
      time.title = `${local.format(new Date(time.dateTime))} ${own}`;
    }
  }

  // What is typed is kept by the address it is posted to, with the one-time key of its form: so a form that is filled
  // in again after its answer was lost posts nothing twice. What was changed since is another form.

  const nameOf = (form) => `kept ${new URL(form.action).pathname}`;
  const controls = (form) => [...form.elements].filter(
    (one) => one.name && !["hidden", "submit", "password", "file"].includes(one.type) && !one.readOnly);
  const isBox = (one) => one.type === "checkbox" || one.type === "radio";
  const valueOf = (one) => (isBox(one) ? one.checked : one.value);

  // What the form was filled in with by the server; of another outage, what was typed before is not put in by itself.
  const saidIn = (form) => [...form.elements]
    .filter(({ name }) => name.startsWith("said_")).map(({ defaultValue }) => defaultValue).join("\n");

  function keep(form) {
    form.dataset.dirty = "";
    const values = controls(form).map((one) => [one.name, isBox(one) ? one.value : null, valueOf(one)]);
    store.set(nameOf(form), { at: Date.now(), key: form.elements.form_key.value, said: saidIn(form), values });
  }

  function restore(form) {
    const kept = store.get(nameOf(form));
    if (!kept || "again" in form.dataset) return;
    if (Date.now() - kept.at > KEPT_DAYS * 86400000) { store.drop(nameOf(form)); return; }
    const differing = kept.values.map(([name, box, value]) => {
      const one = controls(form).find((each) => each.name === name && (box === null || each.value === box));
      return one && valueOf(one) !== value ? [one, value] : null;
    }).filter(Boolean);
    if (!differing.length) return;
    if (kept.said === saidIn(form)) putBack(form, kept, differing);
    else showKept(form, kept, differing);
  }

  function putBack(form, kept, differing) {
    for (const [one, value] of differing) {
      if (isBox(one)) one.checked = value; else one.value = value;
    }
    const key = form.elements.form_key, fresh = key.value;
    key.value = kept.key;
    form.addEventListener("input", () => { key.value = fresh; }, { once: true });
    showKept(form, kept, null);
  }

  // `differing` is what can be put back; null: it was.
  function showKept(form, kept, differing) {
    const text = document.createElement("span");
    const template = differing ? body.dataset.keptOther : body.dataset.kept;
    text.textContent = template.replace("%(time)s", local.format(new Date(kept.at)));
    const note = document.createElement("p");
    note.className = "kept";
    note.setAttribute("role", "status");
    note.append(text);
    if (differing) note.append(button(body.dataset.putBack, () => { note.remove(); putBack(form, kept, differing); }));
    note.append(button(body.dataset.discard, () => { forget(form); location.reload(); }));
    form.prepend(note);
  }

  function button(textContent, act) {
    const one = document.createElement("button");
    Object.assign(one, { type: "button", className: "button outlined", textContent });
    one.addEventListener("click", act);
    return one;
  }

  function forget(form) {
    delete form.dataset.dirty;
    store.drop(nameOf(form));
  }

  // A page that confirms what was done: what was posted last is not needed any more.
  function forgetPosted() {
    const posted = store.get("posted");
    if (!posted) return;
    if (document.querySelector(".flash")) { store.drop(posted); store.drop("posted"); }
  }

  function onInput({ target }) {
    const form = target.form;
    if (form && form.matches("[data-keep]")) keep(form);
  }

  function onSubmit(event) {
    const form = event.target;
    if (form.method !== "post") return;
    if (event.defaultPrevented) return;
    if ("sent" in form.dataset) { event.preventDefault(); return; }
    if (!navigator.onLine) {
      event.preventDefault();
      alertAbove(form, body.dataset.offline);
      return;
    }
    if (form.action.endsWith("/sign-out")) store.names().forEach(store.drop);
    if (form.matches("[data-keep]")) { keep(form); store.set("posted", nameOf(form)); }
    for (const other of document.querySelectorAll("form")) delete other.dataset.dirty;
    form.dataset.sent = "";
    if (event.submitter) event.submitter.setAttribute("aria-busy", "true");
    setTimeout(() => release(form), 15000);  // it may be sent again: its key makes that harmless
  }

  function release(form) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
  }

  function alertAbove(form, text) {
    let note = form.querySelector(":scope > .refused");
    if (!note) {
      note = document.createElement("div");
      note.className = "refused";
      note.setAttribute("role", "alert");
      form.prepend(note);
    }
    note.textContent = text;
    note.scrollIntoView({ block: "nearest" });
  }

  function onLeave(event) {
    if (document.querySelector("form[data-dirty]")) event.preventDefault();
  }

  // Texts that are chosen, unless others were typed: beginnings of an incident, states of an update.

  function fill(form, texts, said) {
    for (const [name, text] of Object.entries(texts)) {
      const one = form.elements[name];
      if (!one || (one.value && one.value.trim() !== (said[name] || "").trim())) continue;
      one.value = text;
      said[name] = text;
      const hidden = form.elements[`said_${name}`];
      if (hidden) hidden.value = text;
    }
  }

  const said = new WeakMap();
  const saidBy = (form) => {
    if (!said.has(form)) {
      const first = (name) => (form.elements[`said_${name}`] || { value: "" }).value;
      said.set(form, { title: first("title"), text: first("text") });
    }
    return said.get(form);
  };

  function onChange({ target }) {
    if (target.name !== "beginning") return;
    const { title, text, state, impact } = target.dataset, { elements } = target.form;
    fill(target.form, { title, text }, saidBy(target.form));
    elements.state.value = state;
    if (impact) elements.impact.value = impact;
    if (!title) target.form.elements.title.focus();
    keep(target.form);
  }

  function onClick(event) {
    const link = event.target.closest && event.target.closest("a[data-state]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      const form = link.closest("form");
      for (const other of form.querySelectorAll("[data-state]")) other.removeAttribute("aria-current");
      link.setAttribute("aria-current", "true");
      form.elements.state.value = link.dataset.state;
      fill(form, { text: link.dataset.text }, saidBy(form));
      keep(form);
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  }

  // Lists: rows without what is typed into the filter box are hidden; Enter asks the server.

  function onFilter({ target }) {
    if (target.id !== "filter") return;
    const wanted = target.value.trim().toLowerCase();
    for (const row of document.querySelectorAll(".listing tbody tr")) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    }
  }

  // The overview is fetched again while it is visible and no menu of it is open. When that fails twice, it says so.

  let failures = 0, updatedAt = new Date();

  async function refresh() {
    const live = document.getElementById("live");
    if (document.hidden || live.querySelector("details[open], [aria-busy]")) return;
    try {
      const headers = { Accept: "text/html", "X-Kener-Refresh": "1" };
      const signal = AbortSignal.timeout ? AbortSignal.timeout(15000) : undefined;
      const reply = await fetch(location.href, { headers, signal, redirect: "manual" });
      if (!reply.ok) throw new Error(String(reply.status));
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
      replace(live, fresh.getElementById("live"));
      document.title = fresh.title;
      failures = 0;
      updatedAt = new Date();
    } catch {
      failures += 1;
    }
    const stale = document.getElementById("stale");
    stale.hidden = failures < 2;
    if (failures >= 2) stale.textContent = body.dataset.stale.replace("%(time)s", local.format(updatedAt));
  }

  function replace(live, next) {
    const focused = live.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    live.replaceWith(next);
    showLocalTimes();
    const again = focused && [...next.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused);
    if (again) again.focus({ preventScroll: true });
  }

  document.addEventListener("input", onInput);
  document.addEventListener("input", onFilter);
  document.addEventListener("change", onChange);
  document.addEventListener("submit", onSubmit);
  document.addEventListener("click", onClick);
  document.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
  });
  addEventListener("beforeunload", onLeave);
  addEventListener("pageshow", () => document.querySelectorAll("form").forEach(release));
  forgetPosted();
  document.querySelectorAll("form[data-keep]").forEach(restore);
  showLocalTimes();
  const period = Number(body.dataset.refresh || 0) * 1000;
  if (period) setInterval(refresh, period);
})();

// Buttons that copy the text of an element; without a script they are hidden.
(() => {
  "use strict";

  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {  // browsers offer the clipboard over TLS only
      getSelection().selectAllChildren(source);
      if (!document.execCommand("copy")) return;
      getSelection().removeAllRanges();
    }
    const label = button.dataset.label ||= button.textContent;
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = label; }, 2000);
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
})();
