// Helpers: elements, formats, tables. Names come from jobs, so they are only ever text.

/** Makes control characters and marks that reorder text visible. Line feeds and tabs stay. */
export function safe(text) {
  return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, c => `\\u{${c.codePointAt(0).toString(16)}}`);
}

/** Creates an element. Strings become text nodes. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (key === 'class') node.className = value;
    else if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key in node && key !== 'list') node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined).map(child => (typeof child === 'string' ? safe(child) : child)));
  return node;
}

export const UNKNOWN = 'unknown';

export function duration(ms) {
  if (ms === null || ms === undefined) return UNKNOWN;
  const abs = Math.abs(ms);
  if (abs < 1000) return `${ms} ms`;
  if (abs < 60000) return `${(ms / 1000).toFixed(abs < 10000 ? 2 : 1)} s`;
  if (abs < 3600000) return `${Math.floor(ms / 60000)} min ${Math.floor(ms % 60000 / 1000)} s`;
  if (abs < 86400000) return `${Math.floor(ms / 3600000)} h ${Math.floor(ms % 3600000 / 60000)} min`;
  return `${Math.floor(ms / 86400000)} d ${Math.floor(ms % 86400000 / 3600000)} h`;
}

export function bytes(size) {
  if (size === null || size === undefined) return UNKNOWN;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  while (Math.abs(size) >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
  return unit === 0 ? `${size} B` : `${size.toFixed(1)} ${units[unit]}`;
}

export function time(ms) {
  if (ms === null || ms === undefined) return UNKNOWN;
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? `${ms} ms` : date.toISOString().replace('T', ' ').replace('Z', '');
}

/** A time without what a window of that length makes obvious. */
export function shortTime(ms, length) {
  const text = time(ms);
  if (length > 3 * 86400000) return text.slice(5, 10);
  if (length > 600000) return text.slice(11, 16);
  return text.slice(11, 19);
}

export const number = value => (value === null || value === undefined ? UNKNOWN : String(value));
export const ratio = (part, whole) => (whole > 0 ? `${(100 * part / whole).toFixed(1)} %` : UNKNOWN);

/** A link to a view. The state is in the hash. */
export function link(state, text, key) {
  return el('a', { href: '#' + new URLSearchParams(clean(state)), 'data-key': key ?? JSON.stringify(clean(state)) }, text);
}

export function clean(state) {
  return Object.fromEntries(Object.entries(state).filter(([, value]) => value !== undefined && value !== null && value !== ''));
}

/** One line of text, for Markdown. */
const mdCell = text => safe(text).replace(/[\r\n\u2028\u2029]+/g, ' ').replace(/[\\|`*_<>\[\]#]/g, '\\$&').slice(0, 300);

export function markdownTable(columns, rows) {
  const line = cells => `| ${cells.join(' | ')} |`;
  return [
    line(columns.map(column => mdCell(column.head))), line(columns.map(() => '---')),
    ...rows.slice(0, 200).map(row => line(columns.map(column => mdCell(shown(column, row))))),
    rows.length > 200 ? `\n… and ${rows.length - 200} more` : '',
  ].join('\n');
}
export const markdownText = mdCell;

function shown(column, row) {
  const value = column.text ? column.text(row) : column.value(row);
  return value === null || value === undefined ? UNKNOWN : value;
}

function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const anchor = el('a', { href: url, download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** Quotes a cell, and keeps spreadsheets from taking it for a formula. */
function csvCell(value) {
  let text = value === null || value === undefined ? '' : String(value);
  if (typeof value === 'string' && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const ROW = 28;

/**
 * A table with sorting and downloads. Columns: head, value(row) for sorting and files,
 * text(row) for people, node(row) for links, number for alignment. Only rows in view exist.
 */
export function table(name, columns, rows) {
  let order = [...rows];
  let sorted = null;
  const body = el('tbody');
  const scroll = el('div', { class: 'scroll', tabIndex: 0, role: 'region', 'aria-label': name, 'data-key': `table ${name}` });
  const heads = columns.map((column, index) => el('th', { scope: 'col', class: column.number ? 'number' : '' },
    el('button', { type: 'button', 'data-key': `sort ${name} ${column.head}`, onclick: () => sort(index) }, column.head)));
  const gap = height => { const cell = el('td', { colSpan: columns.length }); cell.style.height = `${height}px`; return el('tr', { class: 'gap', 'aria-hidden': 'true' }, cell); };

  function sort(index) {
    const down = sorted && sorted.index === index && !sorted.down;
    sorted = { index, down };
    const value = row => columns[index].value(row);
    order.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === y) return 0;
      // What is unknown comes last in both directions.
      if (x === null || x === undefined) return 1;
      if (y === null || y === undefined) return -1;
      return (x < y ? -1 : 1) * (down ? -1 : 1);
    });
    heads.forEach((head, at) => head.setAttribute('aria-sort', at === index ? (down ? 'descending' : 'ascending') : 'none'));
    draw();
  }

  function draw() {
    const visible = Math.ceil((scroll.clientHeight || 600) / ROW) + 10;
    const first = order.length <= 200 ? 0 : Math.max(0, Math.min(order.length - visible, Math.floor(scroll.scrollTop / ROW) - 5));
    const last = order.length <= 200 ? order.length : Math.min(order.length, first + visible);
    const line = row => el('tr', {}, columns.map(column => {
      const content = column.node ? column.node(row) : shown(column, row);
      const text = typeof content === 'string' || typeof content === 'number' ? String(content) : undefined;
      return el('td', { class: column.number ? 'number' : '', title: text === undefined ? undefined : safe(text) }, text ?? content);
    }));
    const lines = order.slice(first, last).map(line);
    body.replaceChildren(...(first > 0 ? [gap(first * ROW)] : []), ...lines, ...(last < order.length ? [gap((order.length - last) * ROW)] : []));
  }

  let waiting = false;
  scroll.addEventListener('scroll', () => {
    if (waiting || order.length <= 200) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  });
  scroll.append(el('table', {}, el('thead', {}, el('tr', {}, heads)), body));
  draw();
  requestAnimationFrame(draw);
  const csv = () => save(`${name}.csv`, 'text/csv', [columns.map(column => csvCell(column.head)), ...order.map(row => columns.map(column => csvCell(column.value(row))))].map(cells => cells.join(',')).join('\r\n') + '\r\n');
  const json = () => save(`${name}.json`, 'application/json', JSON.stringify(order, null, 1));
  const node = el('div', {},
    el('div', { class: 'bar' }, el('span', { class: 'soft' }, `${rows.length} row${rows.length === 1 ? '' : 's'}`),
      el('button', { type: 'button', onclick: csv, 'data-key': `csv ${name}` }, 'CSV'), el('button', { type: 'button', onclick: json, 'data-key': `json ${name}` }, 'JSON')),
    rows.length ? scroll : null);
  return { node, markdown: () => markdownTable(columns, order) };
}
