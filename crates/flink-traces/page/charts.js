// Charts on canvas. Each has the same content as text: a label, a tooltip, and a table beside it.
import { el, duration, bytes, safe, shortTime, time } from './util.js';

const tip = () => document.getElementById('tip');

export function color(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }

/** Shows text beside the pointer, or hides it. */
function show(text, x, y) {
  const node = tip();
  node.hidden = !text;
  if (!text) return;
  node.textContent = safe(text);
  node.style.left = `${Math.min(x + 12, innerWidth - 260)}px`;
  node.style.top = `${Math.min(y + 12, innerHeight - 80)}px`;
}

/** A pattern of diagonal lines. */
function hatch(context, line, back) {
  const tile = document.createElement('canvas');
  tile.width = tile.height = 6;
  const draw = tile.getContext('2d');
  if (back) { draw.fillStyle = back; draw.fillRect(0, 0, 6, 6); }
  draw.strokeStyle = line;
  draw.beginPath(); draw.moveTo(-1, 1); draw.lineTo(1, -1); draw.moveTo(0, 6); draw.lineTo(6, 0); draw.moveTo(5, 7); draw.lineTo(7, 5); draw.stroke();
  return context.createPattern(tile, 'repeat');
}

/** Mixes two colors of the form #rrggbb. */
function mix(from, to, share) {
  const part = (text, at) => parseInt(text.slice(at, at + 2), 16);
  const channel = at => Math.round(part(from, at) + (part(to, at) - part(from, at)) * share);
  return `rgb(${channel(1)}, ${channel(3)}, ${channel(5)})`;
}

function clipped(context, name, width) {
  const text = safe(name).replaceAll('\n', ' ');
  if (context.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && context.measureText(text.slice(0, end) + '…').width > width) end = Math.floor(end * 0.9);
  return text.slice(0, end) + '…';
}

/**
 * A grid of rows with a label each, of which only those in view are drawn.
 * options: key, label, rows, columns, rowHeight, rowLabel(row), cell(row, column) -> { fill, hatch, bar } or null,
 * text(row, column), open(row, column), axis(column) -> text or null.
 */
export function grid(options) {
  const { rows, columns, rowHeight = 18 } = options;
  const canvas = el('canvas', { tabIndex: 0, role: 'application', 'aria-label': options.label, 'data-key': options.key });
  const live = el('p', { class: 'soft', 'aria-live': 'polite' }, '\u00a0');
  const axisHeight = 18;
  const box = el('div', { class: 'chart' }, canvas);
  const filler = el('div');
  box.append(filler);
  let cursor = null;
  let size = { width: 0, height: 0, left: 0, cell: 0 };

  function draw() {
    const width = box.clientWidth;
    if (!width) return;
    const wanted = rows * rowHeight + axisHeight;
    const height = Math.min(wanted, Math.max(200, innerHeight * 0.7));
    const left = Math.min(options.labelWidth ?? 260, width * 0.4);
    const cell = (width - left) / Math.max(1, columns);
    size = { width, height, left, cell };
    const scale = devicePixelRatio || 1;
    canvas.width = width * scale; canvas.height = height * scale;
    canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
    filler.style.height = `${Math.max(0, wanted - height)}px`;
    const context = canvas.getContext('2d');
    context.scale(scale, scale);
    context.font = '12px system-ui, sans-serif';
    context.textBaseline = 'middle';
    const unknown = hatch(context, color('unknown'));
    const failed = hatch(context, color('bg'), color('bad'));
    const first = Math.floor(box.scrollTop / rowHeight);
    const offset = axisHeight - (box.scrollTop % rowHeight);
    for (let row = first; row < rows && offset + (row - first) * rowHeight < height; row += 1) {
      const y = offset + (row - first) * rowHeight;
      context.fillStyle = color('fg');
      context.fillText(clipped(context, options.rowLabel(row), left - 10), 4, y + rowHeight / 2);
      for (let column = 0; column < columns; column += 1) {
        const found = options.cell(row, column);
        if (!found) continue;
        const x = left + column * cell;
        const inner = Math.max(cell - (cell > 4 ? 1 : 0), 0.7);
        if (found.unknown) context.fillStyle = unknown;
        else if (found.failed) context.fillStyle = failed;
        else context.fillStyle = mix(color('heat0'), color('heat1'), Math.min(1, Math.max(0, found.share)));
        context.fillRect(x, y + 1, inner, rowHeight - 2);
        if (found.down > 0) {
          context.fillStyle = color('down');
          const part = Math.max(3, (rowHeight - 2) * Math.min(1, found.down));
          context.fillRect(x, y + rowHeight - 1 - part, inner, part);
        }
      }
      if (cursor && cursor.row === row) {
        context.strokeStyle = color('focus'); context.lineWidth = 2;
        context.strokeRect(left + cursor.column * cell, y, Math.max(cell, 4), rowHeight);
      }
    }
    context.fillStyle = color('panel'); context.fillRect(0, 0, width, axisHeight);
    context.fillStyle = color('soft');
    const step = Math.max(1, Math.ceil(70 / cell));
    // A label that does not fit is left out.
    for (let column = 0; column < columns; column += step) {
      const text = options.axis(column) ?? '', x = left + column * cell + 2;
      if (x + context.measureText(text).width <= width) context.fillText(text, x, axisHeight / 2);
    }
  }

  function at(event) {
    const bounds = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - bounds.left - size.left) / size.cell);
    const row = Math.floor((event.clientY - bounds.top - axisHeight + box.scrollTop) / rowHeight);
    return event.clientY - bounds.top > axisHeight && row >= 0 && row < rows && column < columns ? { row, column } : null;
  }

  canvas.addEventListener('mousemove', event => {
    const spot = at(event);
    canvas.style.cursor = spot ? 'pointer' : '';
    show(spot ? options.text(spot.row, Math.max(0, spot.column)) : '', event.clientX, event.clientY);
  });
  canvas.addEventListener('mouseleave', () => show(''));
  canvas.addEventListener('click', event => { const spot = at(event); show(''); if (spot) options.open(spot.row, spot.column); });
  canvas.addEventListener('keydown', event => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-20, 0], PageDown: [20, 0] }[event.key];
    if (event.key === 'Enter' && cursor) { options.open(cursor.row, cursor.column); return; }
    if (!move || !rows || !columns) return;
    event.preventDefault();
    const limit = (value, count) => Math.max(0, Math.min(count - 1, value));
    cursor = cursor ? { row: limit(cursor.row + move[0], rows), column: limit(cursor.column + move[1], columns) } : { row: 0, column: columns - 1 };
    const top = cursor.row * rowHeight;
    if (top < box.scrollTop) box.scrollTop = top;
    if (top + rowHeight + axisHeight > box.scrollTop + size.height) box.scrollTop = top + rowHeight + axisHeight - size.height;
    live.textContent = safe(options.text(cursor.row, cursor.column));
    draw();
  });
  let waiting = false;
  const later = () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw(); }); } };
  box.addEventListener('scroll', later);
  new ResizeObserver(later).observe(box);
  return el('div', {}, box, live);
}

const PHASES = [['start_delay', 'delay', 'waiting for the barrier'], ['alignment', 'align', 'aligning'], ['sync', 'sync', 'synchronous part'], ['async', 'async', 'asynchronous part'], ['rest', 'rest', 'finishing and acknowledging']];
export const PHASE_LEGEND = PHASES.map(([, name, text]) => [name, text]);

/**
 * The lanes of a job on one time axis. Dragging selects a range.
 * view: the answer for the job; open(checkpoint), select(from, to).
 */
export function lanes(view, timeout, open, select) {
  const { from_ms: from, to_ms: to } = view.window;
  const list = view.checkpoints;
  const canvas = el('canvas', { tabIndex: 0, role: 'application', 'data-key': 'lanes', 'aria-label': `State, duration and size of ${list.length} checkpoints. Arrow keys move between checkpoints, Enter opens one. The table below has the same figures.` });
  const live = el('p', { class: 'soft', 'aria-live': 'polite' }, '\u00a0');
  const box = el('div', { class: 'chart' }, canvas);
  const left = 74, stateTop = 4, stateHeight = 16, barsTop = 28, barsHeight = 150, sizeTop = 196, sizeHeight = 70, height = 288;
  let width = 0, cursor = null, drag = null;
  const x = ms => left + (ms - from) / Math.max(1, to - from) * (width - left - 6);
  const ms = at => from + (at - left) / Math.max(1, width - left - 6) * (to - from);
  const longest = list.reduce((most, row) => Math.max(most, row.duration_ms), 1);
  // The timeout is a line if that leaves the bars visible.
  const top = timeout && timeout <= longest * 4 ? Math.max(longest, timeout) : longest;
  const largest = list.reduce((most, row) => Math.max(most, row.full_size ?? 0), 1);

  function draw() {
    width = box.clientWidth;
    if (!width) return;
    const scale = devicePixelRatio || 1;
    canvas.width = width * scale; canvas.height = height * scale;
    canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
    const context = canvas.getContext('2d');
    context.scale(scale, scale);
    context.font = '12px system-ui, sans-serif';
    context.textBaseline = 'middle';
    const palette = Object.fromEntries(['fg', 'bg', 'soft', 'line', 'ok', 'bad', 'warn', 'down', 'unknown', 'plain', 'delay', 'align', 'sync', 'async', 'rest', 'focus', 'link'].map(name => [name, color(name)]));
    const unknown = hatch(context, palette.unknown);
    const label = (text, y) => { context.fillStyle = palette.soft; context.fillText(text, 4, y); };
    label('state', stateTop + 8); label('duration', barsTop + 8); label(duration(top), barsTop + 24); label('full size', sizeTop + 8); label(bytes(largest), sizeTop + 24);
    // What no record covers was not seen.
    context.fillStyle = unknown; context.fillRect(left, stateTop, width - left - 6, stateHeight);
    context.fillStyle = palette.line;
    for (const [seenFrom, seenTo] of view.seen) context.fillRect(x(Math.max(from, seenFrom)), stateTop, Math.max(1, x(Math.min(to, seenTo)) - x(Math.max(from, seenFrom))), stateHeight);
    for (const band of view.bands) {
      const [begin, end] = [x(Math.max(from, band.from_ms)), x(Math.min(to, band.to_ms))];
      context.fillStyle = { RUNNING: palette.ok, FINISHED: palette.rest, CANCELED: palette.rest, SUSPENDED: palette.rest, FAILED: palette.bad, RESTARTING: palette.bad, FAILING: palette.bad, VANISHED: unknown, GONE: unknown }[band.status] ?? palette.warn;
      context.fillRect(begin, stateTop, Math.max(1, end - begin), stateHeight);
    }
    const bar = Math.max(1, Math.min(14, (width - left) / Math.max(1, list.length) - 1));
    const scaleY = barsHeight / top;
    const lastOf = new Map();
    list.forEach((row, index) => {
      const column = Math.round(x(row.trigger_ms));
      const known = lastOf.get(column);
      if (bar > 1 || known === undefined || row.failed || row.duration_ms > list[known].duration_ms) lastOf.set(bar > 1 ? `${column} ${index}` : column, index);
    });
    for (const index of lastOf.values()) {
      const row = list[index], begin = x(row.trigger_ms), bottom = barsTop + barsHeight;
      let y = bottom;
      if (row.failed) { context.fillStyle = palette.bad; const tall = Math.max(2, row.duration_ms * scaleY); context.fillRect(begin, bottom - tall, bar, tall); }
      else if (row.phases) for (const [key, name] of PHASES) { const tall = row.phases[key] * scaleY; context.fillStyle = palette[name]; context.fillRect(begin, y - tall, bar, tall); y -= tall; }
      else { context.fillStyle = palette.plain; const tall = Math.max(1, row.duration_ms * scaleY); context.fillRect(begin, bottom - tall, bar, tall); }
      if (row.full_size !== undefined && !row.failed) { context.fillStyle = palette.link; const tall = row.full_size / largest * sizeHeight; context.fillRect(begin, sizeTop + sizeHeight - tall, Math.max(bar, 1), Math.max(1, tall)); }
      if (row.kind) { context.fillStyle = palette.fg; context.fillRect(begin, barsTop + barsHeight + 3, Math.max(bar, 3), 4); }
      if (index === cursor) { context.strokeStyle = palette.focus; context.lineWidth = 2; context.strokeRect(begin - 2, barsTop, bar + 4, barsHeight + 2); }
    }
    if (timeout && top >= timeout) { context.strokeStyle = palette.bad; context.setLineDash([5, 4]); const y = barsTop + barsHeight - timeout * scaleY; context.beginPath(); context.moveTo(left, y); context.lineTo(width - 6, y); context.stroke(); context.setLineDash([]); context.fillStyle = palette.bad; context.fillText('timeout', left + 4, y + 8); }
    const mark = (at, fill, up) => { const spot = x(at); context.fillStyle = fill; context.beginPath(); context.moveTo(spot, stateTop + (up ? 0 : 22)); context.lineTo(spot - 4, stateTop + (up ? -4 : 28)); context.lineTo(spot + 4, stateTop + (up ? -4 : 28)); context.fill(); };
    view.failures.forEach(row => mark(row.at_ms, palette.bad, false));
    view.recoveries.forEach(row => mark(row.end_ms, palette.ok, false));
    context.fillStyle = palette.soft;
    const ticks = Math.max(2, Math.floor((width - left) / 110));
    for (let tick = 0; tick <= ticks; tick += 1) { const at = from + (to - from) * tick / ticks; context.textAlign = tick === ticks ? 'right' : 'left'; context.fillText(shortTime(at, to - from), x(at), height - 8); }
    context.textAlign = 'left';
    if (drag && Math.abs(drag.to - drag.from) > 3) { context.globalAlpha = 0.2; context.fillStyle = palette.focus; context.fillRect(Math.min(drag.from, drag.to), 0, Math.abs(drag.to - drag.from), height - 18); context.globalAlpha = 1; }
  }

  const text = row => `${row.kind ?? 'Checkpoint'} ${row.id} at ${time(row.trigger_ms)}\n${row.failed ? 'failed after' : 'took'} ${duration(row.duration_ms)}${row.task ? `\nlast: ${row.task}, subtask ${row.subtask ?? 'unknown'}` : ''}`;
  function nearest(at) {
    let best = null;
    list.forEach((row, index) => { if (best === null || Math.abs(x(row.trigger_ms) - at) < Math.abs(x(list[best].trigger_ms) - at)) best = index; });
    return best;
  }
  const spot = event => event.clientX - canvas.getBoundingClientRect().left;
  canvas.addEventListener('mousedown', event => { drag = { from: spot(event), to: spot(event) }; });
  canvas.addEventListener('mousemove', event => {
    if (drag) { drag.to = spot(event); draw(); return; }
    const index = nearest(spot(event));
    show(index !== null && Math.abs(x(list[index].trigger_ms) - spot(event)) < 12 ? text(list[index]) : '', event.clientX, event.clientY);
  });
  canvas.addEventListener('mouseleave', () => { show(''); drag = null; draw(); });
  canvas.addEventListener('mouseup', event => {
    const range = drag; drag = null; show('');
    if (range && Math.abs(range.to - range.from) > 5) { const ends = [ms(range.from), ms(range.to)].sort((a, b) => a - b); select(Math.floor(ends[0]), Math.ceil(ends[1])); return; }
    const index = nearest(spot(event));
    if (index !== null && Math.abs(x(list[index].trigger_ms) - spot(event)) < 12) open(list[index]);
  });
  canvas.addEventListener('keydown', event => {
    if (event.key === 'Enter' && cursor !== null) { open(list[cursor]); return; }
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity }[event.key];
    if (!step || !list.length) return;
    event.preventDefault();
    cursor = Math.max(0, Math.min(list.length - 1, cursor === null ? list.length - 1 : cursor + step));
    live.textContent = safe(text(list[cursor]));
    draw();
  });
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(box);
  return el('div', {}, box, live);
}

/** The Gantt chart of a checkpoint. A task unfolds to its subtasks. */
export function gantt(checkpoint, tasks) {
  const canvas = el('canvas', { tabIndex: 0, role: 'application', 'data-key': 'gantt', 'aria-label': 'Tasks over time. Arrow keys move, Enter unfolds a task to its subtasks. The table below has the same figures.' });
  const live = el('p', { class: 'soft', 'aria-live': 'polite' }, '\u00a0');
  const box = el('div', { class: 'chart' }, canvas);
  const filler = el('div');
  box.append(filler);
  // The task that acknowledged last is unfolded.
  const open = new Set([tasks.length === 1 ? 0 : tasks.findIndex(task => (task.name ?? task.vertex) === checkpoint.task)]);
  const rowHeight = 20, axisHeight = 18, start = checkpoint.trigger_ms;
  const end = Math.max(start + checkpoint.duration_ms, ...tasks.map(task => task.end_ms), start + 1);
  let cursor = null, left = 0, width = 0, height = 0;
  const rows = () => tasks.flatMap((task, index) => [{ task, index }, ...(open.has(index) ? task.subtasks.map(subtask => ({ task, index, subtask })) : [])]);
  const name = row => (row.subtask ? `    subtask ${row.subtask.index}${row.subtask.host ? ` · ${row.subtask.host}` : ''}` : `${open.has(row.index) ? '▾' : '▸'} ${row.task.name ?? row.task.vertex}`);
  function text(row) {
    const took = duration((row.subtask ?? row.task).end_ms - start);
    const phases = row.subtask?.phases ? PHASES.map(([key, , phase]) => `${phase}: ${duration(row.subtask.phases[key])}`).join('\n') : '';
    const missing = !row.subtask && row.task.missing ? `\nnot acknowledged: ${row.task.missing}` : '';
    return `${name(row).trim()}\nacknowledged after ${took}${missing}${phases ? '\n' + phases : ''}`;
  }
  function draw() {
    width = box.clientWidth;
    if (!width) return;
    const all = rows(), wanted = all.length * rowHeight + axisHeight;
    height = Math.min(wanted, Math.max(200, innerHeight * 0.6));
    left = Math.min(320, width * 0.4);
    const scale = devicePixelRatio || 1;
    canvas.width = width * scale; canvas.height = height * scale;
    canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
    filler.style.height = `${Math.max(0, wanted - height)}px`;
    const context = canvas.getContext('2d');
    context.scale(scale, scale);
    context.font = '12px system-ui, sans-serif'; context.textBaseline = 'middle';
    const x = ms => left + (ms - start) / (end - start) * (width - left - 10);
    const first = Math.floor(box.scrollTop / rowHeight), offset = axisHeight - box.scrollTop % rowHeight;
    for (let at = first; at < all.length && offset + (at - first) * rowHeight < height; at += 1) {
      const row = all[at], y = offset + (at - first) * rowHeight;
      context.fillStyle = color('fg');
      context.fillText(clipped(context, name(row), left - 10), 4, y + rowHeight / 2);
      if (row.subtask?.phases) {
        let begin = start;
        for (const [key, tone] of PHASES) { const stop = begin + row.subtask.phases[key]; context.fillStyle = color(tone); context.fillRect(x(begin), y + 4, Math.max(0.5, x(stop) - x(begin)), rowHeight - 8); begin = stop; }
      } else {
        const item = row.subtask ?? row.task;
        context.fillStyle = color(row.subtask ? 'plain' : 'link');
        const begin = row.subtask ? start : row.task.start_ms;
        context.fillRect(x(begin), y + 5, Math.max(1, x(Math.max(begin, item.end_ms)) - x(begin)), rowHeight - 10);
      }
      if (!row.subtask && row.task.missing) { context.fillStyle = hatch(context, color('bg'), color('bad')); context.fillRect(x(Math.max(row.task.end_ms, start)), y + 5, Math.max(4, x(end) - x(Math.max(row.task.end_ms, start))), rowHeight - 10); }
      if (at === cursor) { context.strokeStyle = color('focus'); context.lineWidth = 2; context.strokeRect(1, y, width - 2, rowHeight); }
    }
    context.fillStyle = color('panel'); context.fillRect(0, 0, width, axisHeight);
    context.fillStyle = color('soft');
    const ticks = Math.max(1, Math.min(4, Math.floor((width - left) / 90)));
    for (let tick = 0; tick <= ticks; tick += 1) { context.textAlign = tick === ticks ? 'right' : 'left'; context.fillText(duration(Math.round((end - start) * tick / ticks)), left + (width - left - 10) * tick / ticks, axisHeight / 2); }
    context.textAlign = 'left';
  }
  const toggle = row => { if (open.has(row.index)) open.delete(row.index); else open.add(row.index); draw(); };
  const at = event => rows()[Math.floor((event.clientY - canvas.getBoundingClientRect().top - axisHeight + box.scrollTop) / rowHeight)];
  canvas.addEventListener('mousemove', event => { const row = at(event); show(row ? text(row) : '', event.clientX, event.clientY); });
  canvas.addEventListener('mouseleave', () => show(''));
  canvas.addEventListener('click', event => { const row = at(event); if (row) toggle(row); });
  canvas.addEventListener('keydown', event => {
    const all = rows();
    if (event.key === 'Enter' && cursor !== null && all[cursor]) { toggle(all[cursor]); return; }
    const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -15, PageDown: 15 }[event.key];
    if (!step || !all.length) return;
    event.preventDefault();
    cursor = Math.max(0, Math.min(all.length - 1, cursor === null ? 0 : cursor + step));
    const top = cursor * rowHeight;
    if (top < box.scrollTop) box.scrollTop = top;
    if (top + rowHeight + axisHeight > box.scrollTop + height) box.scrollTop = top + rowHeight + axisHeight - height;
    live.textContent = safe(text(all[cursor]));
    draw();
  });
  box.addEventListener('scroll', () => requestAnimationFrame(draw));
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(box);
  return el('div', {}, box, live);
}
