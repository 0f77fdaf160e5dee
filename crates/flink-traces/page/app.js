// The page: state in the URL, one view at a time, and the answers of the server.
import { VIEWS } from './views.js';
import { el, clean, time } from './util.js';

const WINDOWS = [['1 h', 3600000], ['6 h', 21600000], ['24 h', 86400000], ['7 d', 604800000], ['30 d', 2592000000], ['400 d', 34560000000]];
const main = document.getElementById('main');
const notice = document.getElementById('notice');
let site = null;
let current = { text: null, markdown: () => '' };
let turn = 0;

export function state() { return Object.fromEntries(new URLSearchParams(location.hash.slice(1))); }

export function go(changes) {
  location.hash = new URLSearchParams(clean({ ...state(), ...changes })).toString();
}

/** Asks the server. */
export async function ask(path, parameters = {}) {
  const response = await fetch(`api/${path}?${new URLSearchParams(clean(parameters))}`, { cache: 'no-store' });
  const text = await response.text();
  if (!response.ok) throw new Error(text.trim() || `the server returned ${response.status}`);
  return { text, data: JSON.parse(text) };
}

/** The window of the state: a fixed one, or one that ends now. */
function range(at, now) {
  const { from, to, window } = at;
  if (from && to && Number(to) > Number(from)) return { from: Number(from), to: Number(to) };
  const recorded = site.extent.first_ms !== null && !site.is_live ? now - site.extent.first_ms : Infinity;
  // A recording that is shorter than the usual window fills the view.
  const usual = Math.max(1000, Math.min(86400000, recorded + Math.min(recorded, 86400000) * 0.02));
  const length = Number(window) || usual;
  return { from: Math.floor(now + 1 - length), to: Math.ceil(now + 1) };
}

function navigation(at) {
  const view = at.view ?? 'now';
  const kept = { window: at.window, from: at.from, to: at.to };
  const items = Object.entries(VIEWS).filter(([, item]) => item.title && (!item.needs || at.job));
  document.getElementById('nav').replaceChildren(...items.map(([name, item]) =>
    el('a', { href: '#' + new URLSearchParams(clean({ view: name, ...kept, job: item.needs ? at.job : undefined })), 'aria-current': name === view ? 'page' : null, 'data-key': `nav ${name}` }, item.title)));
  const select = document.getElementById('window');
  const chosen = at.from ? 'range' : (at.window ?? '');
  const options = [['', site?.is_live === false ? 'all or 24 h' : '24 h'], ...WINDOWS.map(([text, ms]) => [String(ms), text])].filter(([value]) => value !== '86400000' || site?.is_live === false);
  if (at.from) options.push(['range', 'selected range']);
  select.replaceChildren(...options.map(([value, text]) => el('option', { value, selected: value === chosen }, text)));
}

async function show(refresh) {
  const mine = (turn += 1);
  const at = state();
  const view = VIEWS[at.view] ?? VIEWS.now;
  try {
    const status = await ask('status');
    site = status.data;
    if (mine !== turn) return;
    const now = site.now_ms;
    const window = range(at, now);
    const { texts, render } = await view.load({ at, window, now, site });
    if (mine !== turn) return;
    const text = JSON.stringify([at, texts]);
    notice.textContent = site.is_live ? '' : `Nothing has been added to this history since ${time(site.extent.last_ms)}. It is shown as of then.`;
    if (refresh && text === current.text) return;
    const key = document.activeElement?.dataset?.key;
    const scroll = scrollY;
    const { nodes, markdown } = render();
    current = { text, markdown };
    navigation(at);
    main.replaceChildren(...nodes.filter(Boolean));
    if (refresh) scrollTo(0, scroll);
    const again = key && [...document.querySelectorAll('[data-key]')].find(node => node.dataset.key === key);
    if (again) again.focus({ preventScroll: true });
    document.title = `${main.querySelector('h2')?.textContent ?? ''} · flink-traces`;
  } catch (error) {
    if (mine !== turn) return;
    // What was shown stays, but it is said to be old.
    notice.textContent = `The history cannot be read: ${error.message}`;
    if (!refresh) main.replaceChildren(el('p', {}, 'No data.'));
    current.text = null;
  }
}

function theme(value) {
  document.documentElement.dataset.theme = value;
  try { localStorage.setItem('theme', value); } catch { /* private mode */ }
}

let stored = null;
try { stored = localStorage.getItem('theme'); } catch { /* private mode */ }
theme(state().theme ?? stored ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'));
const toggle = () => { theme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'); current.text = null; show(true); };

async function copy() {
  const text = current.markdown();
  try {
    await navigator.clipboard.writeText(text);
    notice.textContent = 'Copied as Markdown.';
  } catch {
    // Without the permission, the text is there to be copied by hand.
    const area = el('textarea', { value: text, rows: 12, readOnly: true, 'aria-label': 'Markdown' });
    main.prepend(area);
    area.select();
  }
}

document.getElementById('theme').addEventListener('click', toggle);
document.getElementById('copy').addEventListener('click', copy);
document.getElementById('window').addEventListener('change', event => {
  if (event.target.value !== 'range') go({ window: event.target.value, from: undefined, to: undefined });
});
addEventListener('hashchange', () => show(false));
addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  const { window, from, to } = state();
  const view = { n: 'now', f: 'fleet', r: 'recoveries', x: 'failures' }[event.key];
  if (view) location.hash = new URLSearchParams(clean({ view, window, from, to }));
  else if (event.key === 't') toggle();
  else if (event.key === 'm') copy();
  else if (event.key === '/') { event.preventDefault(); document.getElementById('find')?.focus(); }
});
setInterval(() => { if (site?.is_live !== false && !document.hidden) show(true); }, 5000);
show(false);
