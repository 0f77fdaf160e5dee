// The views. Each has load({ at, window, now, site }) -> { texts, render() -> { nodes, markdown } }.
import { ask, go } from './app.js';
import { grid, lanes, gantt, color, PHASE_LEGEND } from './charts.js';
import { el, link, table, duration, bytes, time, shortTime, number, ratio, markdownText, UNKNOWN } from './util.js';

const jobTitle = job => `${job.name || '(no name)'}${job.cluster ? ` · ${job.cluster}` : ''}`;
const between = window => ({ from: window.from, to: window.to });
const checkpointLink = (job, row, text) => link({ view: 'checkpoint', job, trigger: row.trigger_ms, id: row.id }, text);

function legend(items) {
  return el('p', { class: 'legend' }, items.map(([tone, text]) => {
    const box = el('i');
    if (tone.startsWith('hatch-')) box.style.background = `repeating-linear-gradient(135deg, ${color(tone.slice(6))} 0 2px, transparent 2px 4px)`;
    else box.style.background = color(tone);
    return el('span', {}, box, text);
  }));
}

const now = {
  title: 'Now',
  async load({ site, now: at }) {
    const { text, data } = await ask('now');
    const words = { critical: 'Critical', warning: 'Warning', unknown: 'Unknown' };
    const sentence = row => `${row.job ? jobTitle(row.job) : `cluster ${row.cluster || '(no name)'}`}: ${row.text}`;
    return {
      texts: text,
      render() {
        const clusters = table('clusters', [
          { head: 'Cluster', value: row => row.cluster || '(no name)' },
          { head: 'Observed', value: row => row.seen_ms, text: row => (row.seen_ms === null ? 'not seen' : `${time(row.seen_ms)}${row.reachable ? '' : ', did not respond'}`) },
          { head: 'Jobs', value: row => row.jobs, number: true },
        ], site.extent.clusters);
        const list = data.length
          ? el('ul', { class: 'findings' }, data.map(row => el('li', { class: row.level }, el('span', { class: 'level' }, `${words[row.level] ?? row.level}: `),
            row.job ? link({ view: 'job', job: row.job.job }, jobTitle(row.job)) : `cluster ${row.cluster || '(no name)'}`, `: ${row.text}`,
            row.since_ms === null ? null : el('span', { class: 'soft' }, ` · since ${time(row.since_ms)}`))))
          : el('p', { class: 'lead' }, site.extent.jobs ? 'No job of this history needs attention.' : 'This history has no jobs yet.');
        return {
          nodes: [el('h2', {}, 'Now'), el('p', { class: 'soft' }, `As of ${time(at)}. ${site.extent.jobs} jobs, history since ${time(site.extent.first_ms)}, ${bytes(site.extent.bytes)}.`), list, el('h3', {}, 'Clusters'), clusters.node],
          markdown: () => [`**Flink, as of ${time(at)} UTC**`, '', ...data.map(row => `- **${row.level}** ${markdownText(sentence(row))}`), '', clusters.markdown()].join('\n'),
        };
      },
    };
  },
};

const SORTS = {
  name: ['Name', job => `${job.cluster}\u0000${job.name}`],
  worst: ['Worst against timeout', job => -(job.totals.max_ms ?? 0) / (job.timeout_ms ?? 600000)],
  p95: ['p95', job => -(job.totals.p95_ms ?? -1)],
  failed: ['Failed checkpoints', job => -job.totals.failed],
  down: ['Time down', job => -job.totals.down_ms],
  growth: ['State growth', job => -((job.totals.last_size ?? 0) - (job.totals.first_size ?? 0))],
};

const fleet = {
  title: 'Fleet',
  async load({ at, window }) {
    const { text, data } = await ask('fleet', { ...between(window), slices: 96 });
    return { texts: text, render: () => renderFleet(at, data) };
  },
};

function renderFleet(at, data) {
  const find = (at.find ?? '').toLowerCase();
  const sort = SORTS[at.sort] ? at.sort : 'worst';
  const key = SORTS[sort][1];
  const jobs = data.jobs.filter(job => jobTitle(job).toLowerCase().includes(find));
  jobs.sort((a, b) => { const [x, y] = [key(a), key(b)]; return x < y ? -1 : x > y ? 1 : a.job - b.job; });
  const columns = Math.max(1, Math.round((data.window.to_ms - data.window.from_ms) / data.slice_ms));
  const cells = new Map(jobs.map(job => [job.job, new Map(job.cells.map(cell => [cell.slice, cell]))]));
  const seen = new Map();
  for (const [cluster, from, to] of data.seen) {
    const set = seen.get(cluster) ?? seen.set(cluster, new Set()).get(cluster);
    const first = Math.max(0, Math.floor((from - data.window.from_ms) / data.slice_ms));
    const last = Math.min(columns - 1, Math.floor((to - data.window.from_ms) / data.slice_ms));
    for (let slice = first; slice <= last; slice += 1) set.add(slice);
  }
  const begin = column => data.window.from_ms + column * data.slice_ms;
  const isSeen = (job, column) => seen.get(job.cluster)?.has(column);
  function cell(row, column) {
    const found = cells.get(jobs[row].job).get(column);
    if (!found) return isSeen(jobs[row], column) ? null : { unknown: true };
    const down = (found.down_ms ?? 0) / data.slice_ms;
    if (found.failed) return { failed: true, down };
    if (!found.completed) return down > 0 ? { share: 0, down } : null;
    return { share: Math.sqrt(found.max_ms / (jobs[row].timeout_ms ?? 600000)), down };
  }
  function describe(row, column) {
    const job = jobs[row], found = cells.get(job.job).get(column);
    const head = `${jobTitle(job)}\n${time(begin(column))} + ${duration(data.slice_ms)}`;
    if (!found) return `${head}\n${isSeen(job, column) ? 'observed, no checkpoint ended' : 'not seen'}`;
    return `${head}\n${found.completed} completed, ${found.failed ?? 0} failed, longest ${found.completed ? duration(found.max_ms) : UNKNOWN}${found.down_ms ? `\ndown for ${duration(found.down_ms)}` : ''}`;
  }
  const chart = jobs.length ? grid({
    key: 'heat', label: `Heat map of ${jobs.length} jobs and ${columns} slices of ${duration(data.slice_ms)}. The table below has the figures of each job.`,
    rows: jobs.length, columns, rowLabel: row => jobTitle(jobs[row]), cell, text: describe,
    axis: column => shortTime(begin(column), data.window.to_ms - data.window.from_ms),
    open: (row, column) => go({ view: 'job', job: jobs[row].job, find: undefined, sort: undefined, ...(column >= 0 && data.slice_ms >= 3600000 ? { from: begin(column), to: begin(column + 1), window: undefined } : {}) }),
  }) : el('p', { class: 'lead' }, find ? 'No job has this text in its name.' : 'No job left a trace in this window.');
  const totals = table('fleet', [
    { head: 'Job', value: row => jobTitle(row), node: row => link({ view: 'job', job: row.job, window: at.window, from: at.from, to: at.to }, jobTitle(row)) },
    { head: 'Status', value: row => row.status },
    { head: 'Completed', value: row => row.totals.completed, number: true },
    { head: 'Failed', value: row => row.totals.failed, number: true },
    { head: 'Success', value: row => (row.totals.completed + row.totals.failed ? row.totals.completed / (row.totals.completed + row.totals.failed) : null), text: row => ratio(row.totals.completed, row.totals.completed + row.totals.failed), number: true },
    { head: 'p50', value: row => row.totals.p50_ms, text: row => duration(row.totals.p50_ms), number: true },
    { head: 'p95', value: row => row.totals.p95_ms, text: row => duration(row.totals.p95_ms), number: true },
    { head: 'Longest', value: row => row.totals.max_ms, text: row => duration(row.totals.max_ms), number: true },
    { head: 'Timeout', value: row => row.timeout_ms, text: row => duration(row.timeout_ms), number: true },
    { head: 'Down', value: row => row.totals.down_ms, text: row => duration(row.totals.down_ms), number: true },
    { head: 'Failures', value: row => row.totals.failures, number: true },
    { head: 'Restores', value: row => row.totals.restores, number: true },
    { head: 'Missed', value: row => row.totals.missed, number: true },
    { head: 'Size', value: row => row.totals.last_size, text: row => bytes(row.totals.last_size), number: true },
  ], jobs);
  const input = el('input', { id: 'find', type: 'search', value: at.find ?? '', placeholder: 'Find a job', 'aria-label': 'Find a job', 'data-key': 'find', onchange: event => go({ find: event.target.value }) });
  const select = el('select', { 'aria-label': 'Sort by', 'data-key': 'sort', onchange: event => go({ sort: event.target.value }) }, Object.entries(SORTS).map(([value, [label]]) => el('option', { value, selected: value === sort }, label)));
  return {
    nodes: [el('h2', {}, 'Fleet'), el('div', { class: 'bar' }, input, el('label', {}, 'Sort by ', select), el('span', { class: 'soft' }, `${jobs.length} jobs, ${time(data.window.from_ms)} to ${time(data.window.to_ms)}`)),
      legend([['heat0', 'fast'], ['heat1', 'close to the timeout'], ['hatch-bad', 'a checkpoint failed'], ['down', 'down'], ['bg', 'observed, no checkpoint'], ['hatch-unknown', 'not seen']]), chart, el('h3', {}, 'Figures'), totals.node],
    markdown: () => [`**Flink jobs, ${time(data.window.from_ms)} to ${time(data.window.to_ms)} UTC**`, '', totals.markdown()].join('\n'),
  };
}

const absent = noun => ({ nodes: [el('p', { class: 'lead' }, `This history does not have that ${noun}.`)], markdown: () => '' });

const job = {
  title: 'Job', needs: true,
  async load({ at, window, site }) {
    const { text, data } = await ask('job', { job: at.job, ...between(window) });
    return { texts: text, render: () => (data ? renderJob(at, data, site) : absent('job')) };
  },
};

function checkpointColumns(id, runs) {
  const many = runs.length > 1;
  return [
    { head: 'Checkpoint', value: row => row.id, node: row => checkpointLink(id, row, `${row.kind ?? 'Checkpoint'} ${row.id}`) },
    ...(many ? [{ head: 'Job id', value: row => runs.find(run => run.run === row.run)?.job_id ?? null, text: row => runs.find(run => run.run === row.run)?.job_id.slice(0, 8) ?? UNKNOWN }] : []),
    { head: 'Triggered', value: row => row.trigger_ms, text: row => time(row.trigger_ms) },
    { head: 'Result', value: row => (row.failed ? 'failed' : 'completed') },
    { head: 'Duration', value: row => row.duration_ms, text: row => duration(row.duration_ms), number: true },
    { head: 'Size', value: row => row.full_size ?? null, text: row => bytes(row.full_size), number: true },
    { head: 'Written', value: row => row.checkpointed_size ?? null, text: row => bytes(row.checkpointed_size), number: true },
    { head: 'Last task', value: row => row.task ?? null },
    { head: 'Subtask', value: row => row.subtask ?? null, number: true },
    { head: 'Host', value: row => row.host ?? null },
    { head: 'Cause', value: row => row.failure ?? (row.failed ? null : '') },
  ];
}

function renderJob(at, data, site) {
  const timeout = [...data.runs].reverse().find(run => run.timeout_ms !== null)?.timeout_ms ?? null;
  const interval = [...data.runs].reverse().find(run => run.interval_ms !== null)?.interval_ms ?? null;
  const failed = data.checkpoints.filter(row => row.failed).length;
  const rows = table('checkpoints', checkpointColumns(data.job, data.runs), [...data.checkpoints].reverse());
  const missed = data.missed.reduce((sum, row) => sum + row.count, 0);
  const bands = table('states', [
    { head: 'Status', value: row => row.status }, { head: 'From', value: row => row.from_ms, text: row => time(row.from_ms) },
    { head: 'To', value: row => row.to_ms, text: row => (row.to_ms >= data.window.to_ms ? 'end of the window' : time(row.to_ms)) },
  ], data.bands);
  const failures = table('failures', [
    { head: 'Time', value: row => row.at_ms, text: row => time(row.at_ms) }, { head: 'Exception', value: row => row.exception },
    { head: 'Message', value: row => row.message }, { head: 'Attempt', value: row => row.task }, { head: 'Host', value: row => row.endpoint },
  ], data.failures);
  const facts = `${data.checkpoints.length} checkpoints, ${failed} failed, ${missed} missed; interval ${duration(interval)}, timeout ${duration(timeout)}; ${data.runs.length} run${data.runs.length === 1 ? '' : 's'}.`;
  const kept = { window: at.window, from: at.from, to: at.to };
  return {
    nodes: [el('h2', {}, jobTitle(data)), el('p', {}, facts, data.is_cut ? ' The oldest checkpoints of the window are left out: choose a shorter one.' : '', ' ', link({ view: 'stragglers', job: data.job, ...kept }, 'Stragglers')),
      at.from ? el('p', {}, link({ view: 'job', job: data.job }, 'Leave the selected range')) : null,
      legend([...PHASE_LEGEND, ['plain', 'no detail'], ['bad', 'failed'], ['fg', 'savepoint'], ['hatch-unknown', 'not seen']]),
      lanes(data, timeout, row => go({ view: 'checkpoint', job: data.job, trigger: row.trigger_ms, id: row.id, from: undefined, to: undefined }), (from, to) => go({ from, to, window: undefined })),
      el('p', { class: 'soft' }, 'Drag over the chart to select a range.'), el('h3', {}, 'Checkpoints'), rows.node,
      el('h3', {}, 'Starts and restores'), cards(data.recoveries, site), el('h3', {}, 'Failures'), failures.node, el('h3', {}, 'States'), bands.node],
    markdown: () => [`**${markdownText(jobTitle(data))}**, ${time(data.window.from_ms)} to ${time(data.window.to_ms)} UTC`, '', facts, '', rows.markdown()].join('\n'),
  };
}

const checkpoint = {
  async load({ at, site }) {
    const { text, data } = await ask('checkpoint', { job: at.job, trigger: at.trigger, id: at.id });
    return { texts: text, render: () => (data ? renderCheckpoint(data, site) : absent('checkpoint')) };
  },
};

function traceLink(site, traceId, text = 'Open trace', key = 'trace') {
  if (!site.trace_url) return null;
  return el('a', { href: site.trace_url.replaceAll('{traceId}', traceId), rel: 'noreferrer', 'data-key': key }, text);
}

function renderCheckpoint(data, site) {
  const row = data.checkpoint;
  const good = data.last_good;
  const tasks = table('tasks', [
    { head: 'Task', value: task => task.name ?? task.vertex },
    { head: 'Acknowledged', value: task => task.acknowledged, text: task => `${number(task.acknowledged)} of ${number(task.subtasks_total)}`, number: true },
    { head: 'Missing', value: task => task.missing ?? '' },
    { head: 'After', value: task => task.end_ms - row.trigger_ms, text: task => (task.end_ms < row.trigger_ms ? UNKNOWN : duration(task.end_ms - row.trigger_ms)), number: true },
  ], data.tasks);
  const subtasks = table('subtasks', [
    { head: 'Task', value: item => item.task }, { head: 'Subtask', value: item => item.index, number: true }, { head: 'Host', value: item => item.host ?? null },
    { head: 'After', value: item => item.end_ms - row.trigger_ms, text: item => duration(item.end_ms - row.trigger_ms), number: true },
    ...[['start_delay', 'Start delay'], ['alignment', 'Alignment'], ['sync', 'Sync'], ['async', 'Async'], ['rest', 'Rest']].map(([key, head]) => ({ head, value: item => item.phases?.[key] ?? null, text: item => duration(item.phases?.[key]), number: true })),
    { head: 'Size', value: item => item.full_size ?? null, text: item => bytes(item.full_size), number: true },
    { head: 'Written', value: item => item.checkpointed_size ?? null, text: item => bytes(item.checkpointed_size), number: true },
    { head: 'Processed', value: item => item.processed ?? null, text: item => bytes(item.processed), number: true },
    { head: 'Persisted', value: item => item.persisted ?? null, text: item => bytes(item.persisted), number: true },
  ], data.tasks.flatMap(task => task.subtasks.map(subtask => ({ ...subtask, task: task.name ?? task.vertex }))).sort((a, b) => b.end_ms - a.end_ms));
  const neighbor = (pair, text) => (pair ? link({ view: 'checkpoint', job: data.job, trigger: pair[0], id: pair[1] }, text, text) : null);
  const compare = table('comparison', [
    { head: 'Figure', value: item => item.what }, { head: 'This one', value: item => item.here }, { head: 'Last good', value: item => item.good }, { head: 'Usual', value: item => item.usual },
  ], [
    { what: 'Duration', here: duration(row.duration_ms), good: duration(good?.duration_ms), usual: duration(data.usual_ms) },
    ...[['start_delay', 'Start delay'], ['alignment', 'Alignment'], ['sync', 'Synchronous part'], ['async', 'Asynchronous part'], ['rest', 'Rest']].map(([key, what]) => ({ what, here: duration(row.phases?.[key]), good: duration(good?.phases?.[key]), usual: '' })),
    { what: 'Full size', here: bytes(row.full_size), good: bytes(good?.full_size), usual: '' },
    { what: 'Last task', here: row.task ?? UNKNOWN, good: good?.task ?? UNKNOWN, usual: '' },
  ]);
  return {
    nodes: [el('h2', {}, `${row.kind ?? 'Checkpoint'} ${row.id} of `, link({ view: 'job', job: data.job }, jobTitle(data))),
      el('p', { class: row.failed ? 'lead failed' : 'lead' }, data.sentence),
      el('p', {}, `Triggered ${time(row.trigger_ms)}. `, neighbor(data.neighbors[0], '← before'), ' ', neighbor(data.neighbors[1], 'after →'), ' ', traceLink(site, row.trace_id),
        ...(row.other_trace_id ? [' Two sources reported it. ', traceLink(site, row.other_trace_id, 'Open the other trace', 'other')] : [])),
      row.incomplete ? el('p', { class: 'soft' }, 'The cluster did not return all tasks of this checkpoint.') : null,
      data.tasks.length ? legend([...PHASE_LEGEND, ['link', 'task'], ['hatch-bad', 'not acknowledged']]) : el('p', { class: 'soft' }, 'The tasks of this checkpoint are unknown: they were not reported, or are older than the retention of detail.'),
      data.tasks.length ? gantt(row, data.tasks) : null,
      el('h3', {}, 'Compared'), compare.node, data.tasks.length ? el('h3', {}, 'Tasks') : null, data.tasks.length ? tasks.node : null, data.tasks.length ? el('h3', {}, 'Subtasks, last first') : null, data.tasks.length ? subtasks.node : null,
      row.path ? el('p', { class: 'soft' }, `Path: ${row.path}`) : null],
    markdown: () => [`**${markdownText(jobTitle(data))}**, ${time(row.trigger_ms)} UTC`, '', markdownText(data.sentence), '', compare.markdown(), '', subtasks.markdown()].join('\n'),
  };
}

const stragglers = {
  title: 'Stragglers', needs: true,
  async load({ at, window }) {
    const { text, data } = await ask('stragglers', { job: at.job, ...between(window), vertex: at.vertex });
    return { texts: text, render: () => (data ? renderStragglers(at, data) : absent('job')) };
  },
};

function byHost(rows, columns) {
  const hosts = new Map();
  for (const row of rows) {
    const host = row.host ?? UNKNOWN;
    const cells = hosts.get(host) ?? hosts.set(host, new Array(columns).fill(null)).get(host);
    row.cells.forEach((value, index) => { if (value !== null && (cells[index] === null || value > cells[index])) cells[index] = value; });
  }
  return [...hosts].map(([host, cells]) => ({ label: host, cells }));
}

function renderStragglers(at, data) {
  const rows = at.by === 'host' ? byHost(data.rows, data.columns.length) : data.rows.map(row => ({ label: `subtask ${row.subtask}${row.host ? ` · ${row.host}` : ''}`, cells: row.cells }));
  const longest = rows.reduce((most, row) => row.cells.reduce((top, value) => Math.max(top, value ?? 0), most), 1);
  const critical = table('critical subtasks', [
    { head: 'Task', value: row => row.task }, { head: 'Subtask', value: row => row.subtask, number: true }, { head: 'Host', value: row => row.host },
    { head: 'Held back', value: row => row.times, number: true }, { head: 'Mean duration', value: row => row.mean_ms, text: row => duration(row.mean_ms), number: true },
  ], data.critical);
  const chart = rows.length ? grid({
    key: 'matrix', label: `Matrix of ${rows.length} rows and ${data.columns.length} checkpoints. The table below says which subtasks held checkpoints back.`,
    rows: rows.length, columns: data.columns.length, rowLabel: row => rows[row].label, labelWidth: 200,
    cell: (row, column) => (rows[row].cells[column] === null ? { unknown: true } : { share: rows[row].cells[column] / longest }),
    text: (row, column) => `${rows[row].label}\nCheckpoint ${data.columns[column].id} at ${time(data.columns[column].trigger_ms)}\n${rows[row].cells[column] === null ? 'did not acknowledge' : `acknowledged after ${duration(rows[row].cells[column])}`}`,
    axis: column => String(data.columns[column].id),
    open: (row, column) => column >= 0 && go({ view: 'checkpoint', job: data.job, trigger: data.columns[column].trigger_ms, id: data.columns[column].id }),
  }) : el('p', { class: 'lead' }, 'The subtasks of these checkpoints are not in the history.');
  const vertex = el('select', { 'aria-label': 'Task', 'data-key': 'vertex', onchange: event => go({ vertex: event.target.value }) }, data.vertices.map(([id, name]) => el('option', { value: id, selected: id === data.vertex }, name)));
  const by = el('select', { 'aria-label': 'Rows', 'data-key': 'by', onchange: event => go({ by: event.target.value }) }, [['subtask', 'subtasks'], ['host', 'hosts']].map(([value, text]) => el('option', { value, selected: value === (at.by ?? 'subtask') }, text)));
  return {
    nodes: [el('h2', {}, 'Stragglers of ', link({ view: 'job', job: data.job, window: at.window, from: at.from, to: at.to }, jobTitle(data))),
      el('div', { class: 'bar' }, el('label', {}, 'Task ', vertex), el('label', {}, 'Rows ', by), el('span', { class: 'soft' }, `${data.columns.length} checkpoints with detail, ${data.without_detail} without`)),
      legend([['heat0', 'early'], ['heat1', `late (${duration(longest)})`], ['hatch-unknown', 'did not acknowledge, or unknown']]), chart, el('h3', {}, 'Subtasks that acknowledged last'), critical.node],
    markdown: () => [`**Stragglers of ${markdownText(jobTitle(data))}**`, '', critical.markdown()].join('\n'),
  };
}

function cards(list, site) {
  if (!list.length) return el('p', { class: 'soft' }, 'None in this window.');
  return el('div', { class: 'cards' }, [...list].reverse().map(row => el('section', { class: 'card' },
    el('strong', {}, link({ view: 'job', job: row.job }, jobTitle(row), `card ${row.trace_id}`)),
    el('dl', {},
      el('dt', {}, 'Cause'), el('dd', {}, row.cause ? `${row.cause[1] || UNKNOWN} · ${time(row.cause[0])}` : (row.checkpoint_id === null ? 'fresh start' : UNKNOWN)),
      el('dt', {}, 'Restored'), el('dd', {}, row.checkpoint_id === null ? 'nothing' : `checkpoint ${row.checkpoint_id}, ${bytes(row.full_size)}`),
      el('dt', {}, 'Initialization'), el('dd', {}, `${time(row.start_ms)}, ${duration(row.end_ms - row.start_ms)}${row.failed ? ', failed' : ''}`),
      el('dt', {}, 'Down'), el('dd', {}, duration(row.down_ms)),
      el('dt', {}, 'Work lost'), el('dd', {}, duration(row.lost_ms))), traceLink(site, row.trace_id))));
}

const recoveries = {
  title: 'Recoveries',
  async load({ window, site }) {
    const { text, data } = await ask('recoveries', between(window));
    const list = table('recoveries', [
      { head: 'Job', value: row => jobTitle(row), node: row => link({ view: 'job', job: row.job }, jobTitle(row), `row ${row.trace_id}`) },
      { head: 'Start', value: row => row.start_ms, text: row => time(row.start_ms) },
      { head: 'Checkpoint', value: row => row.checkpoint_id, text: row => row.checkpoint_id ?? 'none', number: true },
      { head: 'Initialization', value: row => row.end_ms - row.start_ms, text: row => duration(row.end_ms - row.start_ms), number: true },
      { head: 'Down', value: row => row.down_ms, text: row => duration(row.down_ms), number: true },
      { head: 'Work lost', value: row => row.lost_ms, text: row => duration(row.lost_ms), number: true },
      { head: 'Cause', value: row => row.cause?.[1] ?? null },
    ], [...data].reverse());
    return {
      texts: text,
      render: () => ({
        nodes: [el('h2', {}, 'Recoveries'), el('p', { class: 'soft' }, `${time(window.from)} to ${time(window.to)}`), cards(data.filter(row => row.checkpoint_id !== null || row.cause).slice(-60), site), el('h3', {}, 'All starts and restores'), list.node],
        markdown: () => [`**Recoveries, ${time(window.from)} to ${time(window.to)} UTC**`, '', list.markdown()].join('\n'),
      }),
    };
  },
};

const failures = {
  title: 'Failures',
  async load({ window }) {
    const { text, data } = await ask('failures', between(window));
    const list = table('failures by cause', [
      { head: 'Cause', value: row => row.fingerprint }, { head: 'Failures', value: row => row.count, number: true }, { head: 'Jobs', value: row => row.jobs_total, number: true },
      { head: 'Clusters', value: row => row.clusters_total, number: true }, { head: 'Since', value: row => row.first_ms, text: row => time(row.first_ms) }, { head: 'Last', value: row => row.last_ms, text: row => time(row.last_ms) },
      { head: 'Ended the job', value: row => row.ended, number: true },
    ], data);
    const plural = (count, noun) => `${count} ${noun}${count === 1 ? '' : 's'}`;
    const card = row => el('section', { class: 'card' }, el('strong', {}, row.fingerprint),
      el('p', {}, `${plural(row.count, 'failure')} of ${plural(row.jobs_total, 'job')} in ${plural(row.clusters_total, 'cluster')} since ${time(row.first_ms)}, last ${time(row.last_ms)}`),
      el('p', {}, row.jobs.slice(0, 10).flatMap((item, index) => [index ? ', ' : '', link({ view: 'job', job: item.job }, jobTitle(item), `${row.fingerprint} ${item.job}`)]), row.jobs_total > 10 ? ` and ${row.jobs_total - 10} more` : ''),
      row.message ? el('p', { class: 'soft' }, row.message) : null, row.task ? el('p', { class: 'soft' }, row.task) : null,
      row.stacktrace ? el('details', {}, el('summary', { 'data-key': `stack ${row.fingerprint}` }, 'Stack trace of the last one'), el('pre', { tabIndex: 0 }, row.stacktrace)) : null);
    return {
      texts: text,
      render: () => ({
        nodes: [el('h2', {}, 'Failures by cause'), el('p', { class: 'soft' }, `${time(window.from)} to ${time(window.to)}`), data.length ? el('div', { class: 'cards' }, data.slice(0, 60).map(card)) : el('p', { class: 'lead' }, 'No failure is known in this window.'), el('h3', {}, 'All causes'), list.node],
        markdown: () => [`**Failures, ${time(window.from)} to ${time(window.to)} UTC**`, '', list.markdown()].join('\n'),
      }),
    };
  },
};

export const VIEWS = { now, fleet, job, checkpoint, stragglers, recoveries, failures };
