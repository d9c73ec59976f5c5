"use strict";

// A monitor's status in a frame, placed after the script that asks for it. The frame tells its own height.
(() => {
  const script = document.currentScript;
  const own = new URL(script.src);
  const page = new URL(own.pathname.replace(/\.js$/, ""), own.origin);
  for (const name of ["theme", "bgc", "locale"]) {
    const value = own.searchParams.get(name);
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

  window.addEventListener("message", ({ source, origin, data }) => {
    const isOurs = source === frame.contentWindow && origin === page.origin;
    if (isOurs && data && data.kener_async === "height" && Number.isFinite(data.height)) {
      frame.style.height = `${Math.max(0, data.height)}px`;
    }
  });

  script.after(frame);
})();
