"use strict";

(() => {
  // Swagger UI's dark theme is enabled by a class; set it as the system prefers.
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", follow);
  follow();

  // The incident numbers of the examples: reading operations begin with the newest public incident, and once an
  // incident was opened here, all have its number. So nothing that exists is changed by trying the examples.
  let ui = null;

  function fillIncidentNumber(number, isOurs) {
    const paths = ui.specSelectors.specJson().get("paths");
    for (const [path, operations] of paths.entries()) {
      if (!path.includes("{incidentNumber}")) continue;
      for (const method of operations.keys()) {
        if (isOurs || method === "get") {
          ui.specActions.changeParam([path, method], "incidentNumber", "path", number, false);
        }
      }
    }
  }

  async function fillNewestIncident() {
    try {
      const { items } = await (await fetch("../feed.json")).json();
      if (items.length) fillIncidentNumber(Number(items[0].url.split("/").pop()), false);
    } catch { /* the fields stay empty */ }
  }

  function onResponse(response) {
    const isNew = response.ok && new URL(response.url).pathname.endsWith("/api/incident");
    if (isNew && response.body && response.body.incidentNumber) fillIncidentNumber(response.body.incidentNumber, true);
    return response;
  }

  ui = window.SwaggerUIBundle({
    dom_id: "#api-docs",
    url: "openapi.json",
    deepLinking: true,
    docExpansion: "list",
    persistAuthorization: false,
    queryConfigEnabled: false,
    tryItOutEnabled: true,
    validatorUrl: null,
    responseInterceptor: onResponse,
    onComplete: fillNewestIncident,
    presets: [window.SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
  });
})();
