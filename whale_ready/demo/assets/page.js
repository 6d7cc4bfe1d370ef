
// The demo's own part. The player's half is the panel above, mounted as CTFd's page mounts it; the
// organiser's half shows what the server tells once a second.
{
  const STATE_MS = 1000;
  const NAMES = { cre: "■ CRE", whale: "● Whale", hybrid: "routing" };
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  let csrf = data.csrf;
  let turn = 0; // pictures of an earlier question are dropped
  let drawnAt = 0;
  let remaining = [];
  let switching = 0;
  let switched = Promise.resolve();

  // Small helpers.

  const write = (node, text) => {
    if (node.textContent !== text) node.textContent = text;
  };

  const make = (tag, className, ...children) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    node.append(...children);
    return node;
  };

  // Nothing is made anew that looks the same: what is read aloud or marked stays.
  const draw = (node, shown, rows) => {
    const text = JSON.stringify(shown);
    if (node.dataset.shown === text) return;
    node.dataset.shown = text;
    node.replaceChildren(...rows());
  };

  const cell = (label, className, ...children) => {
    const node = make("td", className, make("span", "", ...children));
    node.setAttribute("role", "cell");
    node.dataset.label = label;
    return node;
  };

  const row = (...cells) => {
    const node = make("tr", "", ...cells);
    node.setAttribute("role", "row");
    return node;
  };

  const where = (backend) => make("span", `where ${backend}`, NAMES[backend] || backend);

  const because = (each) => (each.routed_by ? `${each.routed_because} (${each.routed_by})` : "");

  const time = (iso) => iso.slice(11, 19);

  // Asking the server.

  async function send(path, options) {
    const headers = { ...options.headers, ...(options.method === "POST" ? { "CSRF-Token": csrf } : {}) };
    const response = await fetch(path, { ...options, headers });
    if (options.method === "POST" || !response.ok) {
      let said = null;
      try {
        said = await response.clone().json();
      } catch {
        // understood() has words for it
      }
      if (path.startsWith(ENDPOINTS)) answered(options.method, path, response.status, understood(said));
    }
    return response;
  }

  async function ask(path, body) {
    const options = { method: "GET", headers: { Accept: "application/json" }, credentials: "same-origin" };
    if (body !== undefined) {
      options.method = "POST";
      options.headers["Content-Type"] = "application/json";
      options.body = JSON.stringify(body);
    }
    try {
      return understood(await (await send(path, options)).json());
    } catch {
      return { success: false, message: "The demo does not answer: it was ended, or cannot be reached.", data: null };
    }
  }

  // The player's half.

  function answered(method, path, status, answer) {
    const box = at("answer");
    const part = (name) => box.querySelector(`[data-${name}]`);
    part("empty").hidden = true;
    part("line").hidden = part("parts").hidden = false;
    write(part("request"), `${method} ${path}`);
    write(part("status"), String(status));
    write(part("code"), answer.code || "–");
    write(part("message"), answer.message);
    write(part("retry"), answer.retry_after ? `${answer.retry_after} s` : "–");
    refresh();
  }

  function show(challengeId) {
    for (const button of document.querySelectorAll(".challenge-button")) {
      button.setAttribute("aria-pressed", String(Number(button.value) === challengeId));
    }
    if (switching > 0) return; // play() mounts it, for whoever plays then
    const challenge = data.challenges.find((each) => each.id === challengeId);
    const panel = at("panel-template").content.firstElementChild.cloneNode(true);
    panel.dataset.whaleReady = challengeId;
    panel.dataset.web = challenge.web ? "yes" : "no";
    panel.setAttribute("aria-label", `Container of ${challenge.name}`);
    at("panel").replaceChildren(panel);
    mount(challengeId, send);
  }

  const chosen = () => Number(document.querySelector('.challenge-button[aria-pressed="true"]').value);

  // One after the other, and nothing can be pressed meanwhile that would be the other player's.
  function play(userId) {
    switching += 1;
    at("panel").replaceChildren();
    switched = switched.then(async () => {
      const answer = await ask("/demo/player", { user_id: userId });
      if (answer.success) csrf = answer.data.csrf;
      else tell(answer);
      switching -= 1;
      show(chosen());
      refresh();
    });
  }

  // The organiser's half.

  function tell(answer) {
    at("told").className = answer.success ? "told" : "told bad";
    write(at("told"), answer.message);
  }

  async function act(path, body) {
    tell(await ask(path, body));
    await refresh();
  }

  async function refresh() {
    const mine = ++turn;
    const answer = await ask("/demo/state");
    if (mine !== turn) return;
    if (answer.success) picture(answer.data);
    else tell(answer);
  }

  function picture(state) {
    drawDial(state.dial);
    drawWhale(state.whale);
    state.challenges.forEach(drawChallenge);
    drawLive(state.instances);
    drawEvents(state.events);
    draw(at("changes"), state.changes, () => state.changes.map(changeItem));
  }

  function drawDial(dial) {
    const percent = dial.percent ?? 0;
    write(at("percent"), dial.percent === null ? "not set" : `${percent} %`);
    at("fill").style.width = `${percent}%`;
    at("paused").hidden = !dial.paused;
    at("pause").dataset.turn = dial.paused ? "resume" : "pause";
    write(at("pause"), dial.paused ? "Resume" : "Pause");
    write(at("back-to"), `back to: ${dial.back_to}`);
    for (const button of document.querySelectorAll("[data-share]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.share) === dial.percent));
    }
  }

  function drawWhale(whale) {
    const words = whale.up
      ? "It answers. What starts on it is real HTTP to the fake."
      : "It refuses every connection. Starts that would go to it fall back to CRE; what runs on it cannot be asked meanwhile, and a player is told so.";
    at("whale-state").className = whale.up ? "tag good" : "tag bad";
    write(at("whale-state"), whale.up ? "✓ answers" : "✗ fails");
    write(at("whale-words"), whale.left_alone ? `${words} It failed several times in a row, so it is left alone for a while.` : words);
    write(at("health"), `Whale since the dial was turned last: ${whale.complaint || whale.health}`);
    at("whale-switch").dataset.up = String(!whale.up);
    write(at("whale-switch"), whale.up ? "Whale fails" : "Whale is back");
  }

  function drawChallenge(challenge) {
    const line = document.querySelector(`#challenge-rows [data-id="${challenge.id}"]`);
    const choice = line.querySelector("select");
    if (choice !== document.activeElement) choice.value = challenge.flag; // one that is being chosen is left alone
    const place = line.querySelector(".where");
    place.className = `where ${challenge.next}`;
    write(place, NAMES[challenge.next]);
    write(line.querySelector(".because"), challenge.because);
    const mark = document.querySelector(`.mark[data-id="${challenge.id}"]`);
    mark.className = `mark ${challenge.next}`;
    write(mark.firstElementChild, challenge.flag === "clear" ? "" : challenge.flag === "on" ? "✓" : "✗");
  }

  function drawLive(instances) {
    const still = instances.map(({ remaining_seconds: _, ...rest }) => rest);
    at("none-live").hidden = instances.length > 0;
    at("live").hidden = instances.length === 0;
    write(at("live-count"), instances.length ? `(${instances.length})` : "");
    draw(at("live-rows"), still, () => instances.map(liveRow));
    remaining = instances.map((each) => each.remaining_seconds);
    drawnAt = performance.now();
    countDown();
  }

  function liveRow(each) {
    const who = make("th", "", each.player);
    who.setAttribute("role", "rowheader");
    who.scope = "row";
    const held = cell("Held by", "", where(each.backend), " ", make("span", "soft small", each.simulated ? "simulated" : "Docker"));
    const more = each.extension_count ? ` · extended ${each.extension_count}×` : "";
    return row(who, cell("Challenge", "", each.challenge), held, cell("Time left", "number", make("span", "left"), more), cell("Why there", "small", because(each)));
  }

  function countDown() {
    const now = performance.now();
    document.querySelectorAll("#live-rows .left").forEach((node, index) => write(node, clock(left(remaining[index], drawnAt, now))));
  }

  function drawEvents(events) {
    at("no-events").hidden = events.length > 0;
    at("events").hidden = events.length === 0;
    draw(at("event-rows"), events, () => events.map(eventRow));
  }

  function eventRow(each) {
    const what = make("span", "what", make("strong", "", each.action.replaceAll("_", " ")), " ", make("code", each.code === "ok" ? "soft" : "bad", each.code));
    return row(
      cell("UTC", "number", time(each.at)),
      cell("Backend", "", where(each.backend)),
      cell("What", "", what, " ", make("span", "soft small number", `${each.duration_ms} ms`)),
      cell("Who", "", `${each.player}: ${each.challenge}`),
      cell("Why", "small", because(each) || "–"),
    );
  }

  function changeItem(change) {
    const from = change.before && change.before !== change.after ? `${change.before} → ${change.after}` : change.after;
    const head = make("span", "number soft", `${time(change.at)} `);
    const why = change.why ? make("span", "", ` ${change.why}`) : "";
    return make("li", "", head, make("strong", "", `${change.who}: ${change.action.replaceAll("_", " ")}`), why, make("div", "soft small", from));
  }

  // What happens when something is pressed.

  for (const mark of document.querySelectorAll(".mark")) mark.style.left = `${mark.dataset.place}%`;
  at("player").addEventListener("change", (event) => play(Number(event.target.value)));
  for (const button of document.querySelectorAll(".challenge-button")) {
    button.addEventListener("click", () => show(Number(button.value)));
  }
  for (const button of document.querySelectorAll("[data-share]")) {
    button.addEventListener("click", () => act("/demo/dial", { action: "set", share: button.dataset.share }));
  }
  for (const button of document.querySelectorAll("[data-turn]")) {
    button.addEventListener("click", () => act("/demo/dial", { action: button.dataset.turn }));
  }
  at("share-form").addEventListener("submit", (event) => {
    event.preventDefault();
    act("/demo/dial", { action: "set", share: at("share").value });
  });
  at("whale-switch").addEventListener("click", () => act("/demo/whale", { up: at("whale-switch").dataset.up === "true" }));
  for (const choice of document.querySelectorAll("#challenge-rows select")) {
    const id = choice.closest("tr").dataset.id;
    choice.addEventListener("change", () => act("/demo/dial", { action: "challenge", challenge_id: id, flag: choice.value }));
  }

  async function keepLooking() {
    if (!document.hidden) await refresh();
    setTimeout(keepLooking, STATE_MS);
  }

  show(chosen());
  keepLooking();
  setInterval(countDown, 250);
}
