// In the frame on another site: reports its height to the page around it, and updates itself every minute.
(() => {
  "use strict";

  const reportHeight = () =>
    parent.postMessage({ kener_async: "height", height: document.documentElement.offsetHeight }, "*");

  let etag = null;

  async function refresh() {
    try {
      const reply = await fetch(location.href, { cache: "no-cache" });
      const isNew = reply.ok && etag !== null && reply.headers.get("ETag") !== etag;
      if (reply.ok) etag = reply.headers.get("ETag");
      if (!isNew) return;
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
      document.querySelector("main").replaceWith(fresh.querySelector("main"));
    } catch { /* not reachable now: tried again in a minute */ }
  }

  document.addEventListener("DOMContentLoaded", () => {
    new ResizeObserver(reportHeight).observe(document.documentElement);
    reportHeight();
    refresh();
    setInterval(() => { if (!document.hidden) refresh(); }, 60000);
  });
})();
