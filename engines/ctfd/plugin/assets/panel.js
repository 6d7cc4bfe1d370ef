// The panel of a player's container: start, extend, stop, addresses and the time left.
//
// How long is left comes from the server alone (remaining_seconds); between two answers it is
// counted down on the browser's monotonic clock, so a wrong clock or zone changes nothing.

const ENDPOINTS = "/api/v1/container/";
const LOOK_AGAIN_MS = 30000;
const WAIT_FOR_PAGE_MS = 5000;
const MARKS = [300, 60];
const BUSY = { start: "Starting your container; this may take a moment …", extend: "Extending …", stop: "Stopping …" };
const DONE = { start: "Your container is running.", extend: "You have more time now.", stop: "Your container is stopped." };
const NOTHING_RUNS = "No container is running for this challenge"; // unless the site knows why
const UNREACHABLE = "The site cannot be reached; check your connection and try again.";
const STRANGE = "The site answered something else; reload the page, and log in again if it asks.";

// Seconds left, from what was told at `since` (both in milliseconds of one clock), never below 0.
export function left(remaining, since, now) {
  return Math.max(0, Math.ceil(remaining - (now - since) / 1000));
}

// 3725 → "1:02:05", 59 → "0:59".
export function clock(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = two(seconds % 60);
  return hours > 0 ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
}

// What is said aloud when the time left went from `before` to `after`; "" for nothing.
export function announcement(before, after) {
  const passed = MARKS.filter((mark) => before > mark && after <= mark).pop();
  if (passed === undefined || after === 0) return "";
  return passed === 60 ? "One minute left." : `${passed / 60} minutes left.`;
}

// Whether a host is shown as a link, and to where.
export function link(host, port, web) {
  const shown = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  return { shown, href: web ? `http://${shown}/` : null };
}

// What is said when nothing runs: why it was ended, where the site knows; "" for nothing.
export function ending(ranBefore, message) {
  if (message !== NOTHING_RUNS) return `${message}.`;
  return ranBefore ? "Your container has ended." : "";
}

// A refusal with the names of challenges that the page shows, instead of their numbers.
export function named(message, nameOf) {
  return message.replace(/\bchallenge (\d+)/g, (all, number) => nameOf(number) || all);
}

// An answer of the endpoints as a plain object, whatever came back.
export function understood(answer) {
  if (answer === null || typeof answer !== "object" || typeof answer.success !== "boolean") {
    return { success: false, message: STRANGE, data: null, retry_after: null };
  }
  return answer;
}

// Finds the panel of a challenge, when the theme has put it on the page, and makes it work.
export function mount(challengeId, send) {
  const until = performance.now() + WAIT_FOR_PAGE_MS;
  const look = () => {
    const found = [...document.querySelectorAll(`[data-whale-ready="${challengeId}"]`)];
    const fresh = found.find((each) => !each.dataset.mounted);
    if (fresh) new Panel(fresh, challengeId, send).begin();
    else if (performance.now() < until) requestAnimationFrame(look);
  };
  look();
}

class Panel {
  constructor(element, challengeId, send) {
    this.element = element;
    this.challengeId = challengeId;
    this.send = send;
    this.told = null; // the instance as told last
    this.since = 0;
    this.waitUntil = 0; // no button before, in milliseconds of performance.now()
    this.busy = false;
    this.before = Infinity;
    this.lastLook = 0;
    this.turn = 0; // answers of an earlier question are dropped
    this.unseen = false; // what is shown is on record, and nobody could look
  }

  begin() {
    this.element.dataset.mounted = "yes";
    for (const button of this.element.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => this.act(button.dataset.do));
    }
    this.show("busy", "Looking for your container …");
    this.look();
    this.timer = setInterval(() => this.tick(), 250);
  }

  part(name) {
    return this.element.querySelector(`[data-part="${name}"]`);
  }

  write(name, text) {
    const place = this.element.querySelector(`[data-text="${name}"]`);
    if (place.textContent !== text) place.textContent = text;
  }

  show(part, text = "") {
    for (const each of this.element.querySelectorAll("[data-part]")) each.hidden = each.dataset.part !== part;
    this.write("busy", part === "busy" ? text : "");
    this.element.setAttribute("aria-busy", String(part === "busy"));
  }

  async ask(path, options) {
    let response;
    try {
      response = await this.send(path, { credentials: "same-origin", ...options });
    } catch {
      return { success: false, message: UNREACHABLE, data: null, retry_after: null };
    }
    try {
      return understood(await response.json());
    } catch {
      return understood(null);
    }
  }

  async look() {
    const turn = ++this.turn;
    this.lastLook = performance.now();
    const options = { method: "GET", headers: { Accept: "application/json", "Content-Type": "application/json" } };
    const answer = await this.ask(`${ENDPOINTS}status?challenge_id=${this.challengeId}`, options);
    if (turn !== this.turn || this.busy) return;
    if (answer.success) {
      const ended = answer.data === null ? ending(this.told !== null, answer.message) : "";
      if (ended) this.write("message", ended);
      const unseen = answer.code === "last_known";
      if (unseen || this.unseen) this.write("error", unseen ? answer.message : "");
      this.unseen = unseen;
      this.take(answer.data);
    } else {
      this.write("error", named(answer.message, nameOnPage));
      if (this.told === null) this.show("stopped");
    }
  }

  async act(what) {
    if (this.busy || performance.now() < this.waitUntil) return;
    this.busy = true;
    this.turn += 1;
    const focused = this.element.contains(document.activeElement);
    this.write("error", "");
    this.write("message", "");
    this.show("busy", BUSY[what]);
    const answer = await this.ask(ENDPOINTS + what, {
      method: "POST",
      headers: { Accept: "application/json", "Content-Type": "application/json" },
      body: JSON.stringify({ challenge_id: this.challengeId }),
    });
    this.busy = false;
    if (answer.success) this.succeeded(what, answer);
    else this.failed(answer);
    this.tick();
    if (focused) this.focus(what);
  }

  succeeded(what, answer) {
    this.write("message", DONE[what]);
    if (what === "stop") this.take(null);
    else if (answer.data) this.take(answer.data);
    else this.look();
  }

  failed(answer) {
    const seconds = Number(answer.retry_after) || 0;
    this.waitUntil = performance.now() + seconds * 1000;
    this.write("error", named(answer.message, nameOnPage));
    this.show(this.told ? "running" : "stopped");
    this.tick();
    if (seconds === 0) this.look(); // what is there may not be what was shown
  }

  take(instance) {
    const fresh = this.told === null;
    this.told = instance;
    if (instance === null) {
      this.show("stopped");
      return;
    }
    this.since = performance.now();
    if (fresh) this.before = instance.remaining_seconds; // what was passed before is no news
    this.addresses(instance);
    const rest = instance.max_extensions - instance.extension_count;
    this.write("extensions", rest > 0 ? `You may extend it ${rest} more time${rest === 1 ? "" : "s"}.` : "It cannot be extended any more.");
    this.show("running");
    this.tick();
  }

  addresses(instance) {
    const list = this.element.querySelector('[data-list="addresses"]');
    const shown = instance.ports.map((port) => link(instance.host, port, this.element.dataset.web === "yes"));
    const text = JSON.stringify(shown);
    if (list.dataset.shown === text) return; // what has the focus keeps it
    list.dataset.shown = text;
    list.replaceChildren(...shown.map(row));
  }

  tick() {
    if (!this.element.isConnected) {
      clearInterval(this.timer);
      return;
    }
    const now = performance.now();
    const wait = Math.ceil((this.waitUntil - now) / 1000);
    for (const button of this.element.querySelectorAll("[data-do]")) this.label(button, wait);
    if (this.busy || this.element.offsetParent === null) return;
    const due = now - this.lastLook > LOOK_AGAIN_MS;
    if (this.told === null) {
      if (due) this.look();
      return;
    }
    const seconds = left(this.told.remaining_seconds, this.since, now);
    this.write("clock", clock(seconds));
    const said = announcement(this.before, seconds);
    if (said) this.write("message", said);
    this.before = seconds;
    if (due || (seconds === 0 && now - this.lastLook > 2000)) this.look();
  }

  label(button, wait) {
    button.dataset.label ||= button.textContent;
    const spent = button.dataset.do === "extend" && this.told !== null && this.told.extension_count >= this.told.max_extensions;
    const text = wait > 0 ? `${button.dataset.label} (in ${wait} s)` : button.dataset.label;
    if (button.textContent !== text) button.textContent = text;
    button.disabled = this.busy || wait > 0 || spent;
  }

  focus(what) {
    const wanted = [what, "extend", "stop", "start"].map((each) => this.element.querySelector(`[data-do="${each}"]`));
    const next = wanted.find((each) => each.offsetParent !== null && !each.disabled);
    if (next) next.focus();
  }
}

function nameOnPage(number) {
  const name = document.querySelector(`.challenge-button[value="${number}"] p`);
  return name ? `“${name.textContent.trim()}”` : "";
}

function row({ shown, href }) {
  const item = document.createElement("li");
  const code = document.createElement("code");
  code.textContent = shown;
  item.append(code);
  if (href) {
    const open = document.createElement("a");
    open.href = href;
    open.target = "_blank";
    open.rel = "noopener noreferrer";
    open.textContent = "Open";
    open.setAttribute("aria-label", `Open ${shown} in a new tab`);
    item.append(open);
  }
  if (navigator.clipboard) item.append(copy(shown));
  return item;
}

function copy(text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn-sm btn-outline-secondary";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${text}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not copied";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return button;
}
