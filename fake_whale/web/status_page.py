"""The status page at ``/_fake/``: who runs what, faults, clock, journal. Plain HTML and script."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

from ..whale.faults import EVENTS, WhaleFaultKind

if TYPE_CHECKING:
    from ..fake import FakeWhale

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 70rem;
       padding: 0 1rem; color: #16202a; background: #f6f8f9; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
header { display: flex; gap: 1rem; align-items: baseline; flex-wrap: wrap; }
table { border-collapse: collapse; width: 100%; background: #fff; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #dfe5e8; }
td.num { text-align: right; font-variant-numeric: tabular-nums; }
button { font: inherit; padding: .2rem .7rem; } .late { color: #b3261e; } .quiet { color: #5c6b75; }
#error { color: #b3261e; min-height: 1.4em; } code { font-size: .92em; }
"""

_SCRIPT = """
const token = new URLSearchParams(location.search).get('token');
const ask = async (method, path, body) => {
  const headers = {};
  if (token) headers['X-Fake-Control-Token'] = token;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const answer = await fetch('/_fake/' + path,
    {method, headers, body: body === undefined ? undefined : JSON.stringify(body)});
  const data = await answer.json();
  document.getElementById('error').textContent = answer.ok ? '' : data.error;
  return data;
};
const row = cells => {
  const tr = document.createElement('tr');
  for (const [text, kind] of cells) {
    const td = document.createElement('td');
    td.textContent = text; if (kind) td.className = kind; tr.append(td);
  }
  return tr;
};
const fill = (id, rows) => document.getElementById(id).replaceChildren(...rows);
let timeout = 3600, records = [], nowAt = 0, fetchedAt = 0, virtual = true;
const tick = () => {
  const passed = virtual ? 0 : (performance.now() - fetchedAt) / 1000;
  fill('records', records.map(r => {
    const left = Math.round(r.started + timeout - nowAt - passed);
    return row([[r.user], [r.challenge], [r.uuid], [r.port || '–'], [r.renew_count, 'num'],
                [left + ' s', left < 0 ? 'num late' : 'num']]);
  }));
};
const kinds = JSON.parse(document.getElementById('kinds').textContent);
const names = JSON.parse(document.getElementById('names').textContent);
const refresh = async () => {
  const [health, state, config, faults, journal] = await Promise.all(
    ['health', 'state', 'config', 'faults', 'journal'].map(path => ask('GET', path)));
  if (!state.records) return;
  virtual = health.clock === 'virtual';
  timeout = Number(config.docker_timeout || 3600);
  nowAt = state.now; fetchedAt = performance.now();
  records = state.records.map(r => ({...r, user: names.users[r.user_id] || r.user_id,
    challenge: names.challenges[r.challenge_id] || r.challenge_id}));
  document.getElementById('now').textContent =
    new Date(state.now * 1000).toISOString().replace('.000', '') + ' (' + health.clock + ' clock)';
  const orphans = state.services.filter(s => s.orphan).length;
  document.getElementById('orphans').textContent =
    state.services.length + ' services, ' + orphans + ' orphans';
  for (const button of document.querySelectorAll('[data-seconds]')) button.disabled = !virtual;
  const placed = faults.faults;
  fill('faults', kinds.map(kind => {
    const mine = placed.filter(f => f.kind === kind);
    const tr = row([[kind], [mine.length ? 'on' : 'off'],
                    [mine.reduce((sum, f) => sum + f.fired, 0), 'num']]);
    const td = document.createElement('td'), button = document.createElement('button');
    button.textContent = mine.length ? 'turn off' : 'turn on';
    button.dataset.fault = kind;
    button.onclick = async () => {
      const others = placed.filter(f => f.kind !== kind).map(({fired, id, ...rest}) => rest);
      await ask('PUT', 'faults', {faults: mine.length ? others : [...others, {kind}]});
      refresh();
    };
    td.append(button); tr.append(td);
    return tr;
  }));
  fill('journal', journal.entries.slice(-40).reverse().map(e => row([
    [e.seq, 'num'], [e.kind], [e.user ?? ''], [(e.method ?? '') + ' ' + (e.path ?? e.fault ?? '')],
    [e.status ?? ''], [(e.faults ?? (e.fault ? [e.fault] : e.nearest ?? [])).join(', ')]])));
  tick();
};
for (const button of document.querySelectorAll('[data-seconds]'))
  button.onclick = async () => {
    await ask('POST', 'clock/advance', {seconds: Number(button.dataset.seconds)});
    refresh();
  };
document.getElementById('reset').onclick = async () => { await ask('POST', 'reset'); refresh(); };
refresh(); setInterval(refresh, 2000); setInterval(tick, 500);
"""


def html(fake: FakeWhale) -> str:
    """The page; all changing data comes by script from the control surface."""

    directory = fake.machine.directory
    names = {
        "users": {user.id: user.name for user in directory.users()},
        "challenges": {challenge.id: challenge.name for challenge in directory.challenges()},
    }
    dialect = f"{fake.dialect.value}, as {fake.flavour.name} speaks it"
    kinds = [kind.value for kind in WhaleFaultKind if kind not in EVENTS]
    buttons = "".join(
        f'<button data-seconds="{seconds}">+{text}</button> '
        for seconds, text in ((10, "10 s"), (60, "1 min"), (3600, "1 h"))
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>fake Whale</title><style>{_STYLE}</style></head>
<body>
<header><h1>fake Whale</h1><span class="quiet">dialect {escape(dialect)}</span>
<span id="now"></span> <span>{buttons}</span><button id="reset">reset</button></header>
<p id="error" role="alert"></p>
<h2>Who runs what <span id="orphans" class="quiet"></span></h2>
<table><thead><tr><th>user</th><th>challenge</th><th>uuid</th><th>port</th><th>renewals</th>
<th>remaining</th></tr></thead><tbody id="records"></tbody></table>
<h2>Faults</h2>
<table><thead><tr><th>fault</th><th></th><th>fired</th><th></th></tr></thead>
<tbody id="faults"></tbody></table>
<h2>Journal</h2>
<table><thead><tr><th>#</th><th>kind</th><th>user</th><th>what</th><th>status</th><th></th></tr>
</thead><tbody id="journal"></tbody></table>
<script id="kinds" type="application/json">{_safe(json.dumps(kinds))}</script>
<script id="names" type="application/json">{_safe(json.dumps(names))}</script>
<script>{_SCRIPT}</script>
</body></html>
"""


def _safe(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return text.replace("<", "\\u003c")
