"use strict";

(() => {
  // Swagger UI's dark theme is enabled by a class; set it as the system prefers.
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", follow);
  follow();

  window.SwaggerUIBundle({
    dom_id: "#api-docs",
    url: "openapi.json",
    deepLinking: true,
    docExpansion: "list",
    persistAuthorization: false,
    queryConfigEnabled: false,
    tryItOutEnabled: true,
    validatorUrl: null,
    presets: [window.SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
  });
})();
