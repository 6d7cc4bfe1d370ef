"use strict";
(() => {
  const tools = document.getElementById("tools");
  const search = document.getElementById("search");
  const status = document.getElementById("status");
  const toggle = document.getElementById("toggle");
  const found = document.getElementById("found");
  const groups = [...document.querySelectorAll("details.group")];
  const all = () => [...document.querySelectorAll("details")];

  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = target; at; at = at.parentElement) {
      if (at.tagName === "DETAILS") at.open = true;
    }
    if (target) target.scrollIntoView();
  };
  window.addEventListener("hashchange", reveal);
  reveal();

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = all().filter((each) => !each.open);
    closed.forEach((each) => { each.open = true; });
  });
  window.addEventListener("afterprint", () => closed.forEach((each) => { each.open = false; }));

  if (!tools) return;
  tools.hidden = false;

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const active = words.length > 0 || status.value !== "";
    let shown = 0;
    for (const group of groups) {
      let here = 0;
      for (const row of group.querySelectorAll("tbody tr")) {
        const text = row.textContent.toLowerCase();
        const fits = words.every((word) => text.includes(word))
          && (status.value === "" || row.dataset.status.split(" ").includes(status.value));
        row.hidden = !fits;
        here += fits ? 1 : 0;
      }
      group.hidden = here === 0;
      if (active) group.open = here > 0;
      shown += here;
    }
    found.textContent = active ? `${shown} ${shown === 1 ? "rule" : "rules"} shown` : "";
  };
  search.addEventListener("input", filter);
  status.addEventListener("change", filter);

  toggle.addEventListener("click", () => {
    const open = toggle.getAttribute("aria-pressed") !== "true";
    toggle.setAttribute("aria-pressed", String(open));
    toggle.textContent = open ? "Close all" : "Open all";
    all().forEach((each) => { each.open = open; });
  });
})();
