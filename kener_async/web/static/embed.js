"use strict";

// Inserts a monitor's status as a frame after this script element. The frame reports its height by postMessage.
(() => {
  const script = document.currentScript;
  const source = new URL(script.src);
  // The path is .../embed/TAG.js, or .../embed-TAG/js as in Kener 2.
  const path = source.pathname.replace(/\.js$/, "").replace(/\/embed-([^/]+)\/js$/, "/embed/$1");
  const page = new URL(path, source.origin);
  for (const name of ["theme", "bgc", "locale"]) {
    const value = source.searchParams.get(name);
    if (value !== null) {
      page.searchParams.set(name, value);
    }
  }

  const frame = document.createElement("iframe");
  frame.title = `Status of ${page.pathname.split("/").pop()}`;
  frame.loading = "lazy";
  frame.sandbox = "allow-scripts allow-same-origin allow-popups";
  frame.style.border = "0";
  frame.style.width = "100%";
  frame.src = page.href;

  window.addEventListener("message", ({ source: sender, origin, data }) => {
    const isOurs = sender === frame.contentWindow && origin === page.origin;
    if (isOurs && data && data.kener_async === "height" && Number.isFinite(data.height)) {
      frame.style.height = `${Math.max(0, data.height)}px`;
    }
  });

  script.after(frame);
})();
