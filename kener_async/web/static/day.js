// The minutes of a day: pointer, touch or arrow keys select a minute, whose time and status are shown above. Without
// it each run of minutes has a title, and the table below has the same data.
(() => {
  "use strict";

  const SVG = "http://www.w3.org/2000/svg";
  let hours, readout, format, mark, minute = 0;

  const rows = () => [...hours.querySelectorAll("svg")];

  function isReady() {
    if (hours && hours.isConnected) return true;
    hours = document.getElementById("hours");
    readout = document.getElementById("minute");
    if (!hours) return false;
    format = new Intl.DateTimeFormat(document.documentElement.lang, {
      timeStyle: "short", timeZone: hours.dataset.zone,
    });
    mark = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({ class: "mark", width: 1, height: 20 })) mark.setAttribute(name, value);
    hours.tabIndex = 0;
    hours.setAttribute("role", "slider");
    hours.setAttribute("aria-valuemin", 0);
    hours.setAttribute("aria-valuemax", rows().length * 60 - 1);
    return true;
  }

  function show(wanted) {
    minute = Math.min(Math.max(wanted, 0), rows().length * 60 - 1);
    const row = rows()[Math.floor(minute / 60)];
    const place = minute % 60;
    const run = [...row.querySelectorAll("path")].find((path) => {
      const box = path.getBBox();
      return box.x <= place && place < box.x + box.width;
    });
    mark.setAttribute("x", place);
    row.append(mark);
    const time = format.format(new Date((Number(row.dataset.start) + place * 60) * 1000));
    const status = run ? run.firstElementChild.textContent.split("\n")[1] : "";
    readout.textContent = status ? `${time} · ${status}` : time;
    hours.setAttribute("aria-valuenow", minute);
    hours.setAttribute("aria-valuetext", readout.textContent);
  }

  function onPointer(event) {
    const row = event.target.closest && event.target.closest("#hours svg");
    if (!row || !isReady()) return;
    const box = row.getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * 60);
    show(rows().indexOf(row) * 60 + Math.min(Math.max(place, 0), 59));
  }

  function onKey(event) {
    if (!event.target.matches("#hours") || !isReady()) return;
    const last = rows().length * 60 - 1;
    const places = {
      ArrowLeft: minute - 1, ArrowRight: minute + 1, ArrowUp: minute - 60, ArrowDown: minute + 60,
      PageUp: minute - 60, PageDown: minute + 60, Home: 0, End: last,
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    show(places[event.key]);
  }

  document.addEventListener("DOMContentLoaded", () => {
    if (isReady()) hours.setAttribute("aria-valuenow", 0);
    document.addEventListener("pointermove", onPointer);
    document.addEventListener("pointerdown", onPointer);
    document.addEventListener("keydown", onKey);
    document.addEventListener("focusin", (event) => { if (event.target.matches("#hours") && isReady()) show(minute); });
  });
})();
