// In a frame on another site's page: tells how high it is, and keeps itself up to date.
(() => {
  "use strict";

  const tell = () =>
    parent.postMessage({ kener_async: "height", height: document.documentElement.offsetHeight }, "*");

  let etag = null;

  async function renew() {
    try {
      const reply = await fetch(location.href, { cache: "no-cache" });
      const isNew = reply.ok && etag !== null && reply.headers.get("ETag") !== etag;
      if (reply.ok) etag = reply.headers.get("ETag");
      if (!isNew) return;
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
      document.querySelector("main").replaceWith(fresh.querySelector("main"));
    } catch { /* it will be there again */ }
  }

  document.addEventListener("DOMContentLoaded", () => {
    new ResizeObserver(tell).observe(document.documentElement);
    tell();
    renew();
    setInterval(() => { if (!document.hidden) renew(); }, 60000);
  });
})();
