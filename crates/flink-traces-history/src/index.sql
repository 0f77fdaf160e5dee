CREATE TABLE job (
  job INTEGER PRIMARY KEY,
  cluster TEXT NOT NULL,
  name TEXT NOT NULL,
  UNIQUE (cluster, name)
);
CREATE TABLE run (
  run INTEGER PRIMARY KEY,
  job INTEGER NOT NULL,
  job_id TEXT NOT NULL,
  first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  interval_ms INTEGER,
  timeout_ms INTEGER,
  UNIQUE (job, job_id)
);
CREATE TABLE checkpoint (
  job INTEGER NOT NULL,
  trigger_ms INTEGER NOT NULL,
  run INTEGER NOT NULL,
  checkpoint_id INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  kind TEXT,
  duration_ms INTEGER NOT NULL,
  full_size INTEGER,
  checkpointed_size INTEGER,
  unaligned INTEGER,
  incomplete INTEGER,
  failure TEXT,
  path TEXT,
  task TEXT,
  subtask INTEGER,
  host TEXT,
  ack_ms INTEGER,
  start_delay_ms INTEGER,
  alignment_ms INTEGER,
  sync_ms INTEGER,
  async_ms INTEGER,
  trace BLOB NOT NULL,
  PRIMARY KEY (job, trigger_ms, run, checkpoint_id)
) WITHOUT ROWID;
CREATE INDEX checkpoint_failed ON checkpoint (trigger_ms) WHERE failed = 1;
CREATE TABLE rollup (
  slice_ms INTEGER NOT NULL,
  start_ms INTEGER NOT NULL,
  job INTEGER NOT NULL,
  completed INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  sum_ms INTEGER NOT NULL,
  max_ms INTEGER NOT NULL,
  max_size INTEGER,
  durations BLOB NOT NULL,
  PRIMARY KEY (slice_ms, start_ms, job)
) WITHOUT ROWID;
CREATE TABLE recovery (
  job INTEGER NOT NULL,
  start_ms INTEGER NOT NULL,
  run INTEGER NOT NULL,
  end_ms INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  checkpoint_id INTEGER,
  full_size INTEGER,
  restored BLOB,
  trace BLOB NOT NULL UNIQUE,
  PRIMARY KEY (job, start_ms, trace)
) WITHOUT ROWID;
CREATE TABLE state (
  job INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  run INTEGER NOT NULL,
  status TEXT NOT NULL,
  PRIMARY KEY (job, at_ms, run, status)
) WITHOUT ROWID;
CREATE TABLE failure (
  uid TEXT PRIMARY KEY,
  job INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  run INTEGER NOT NULL,
  fingerprint TEXT NOT NULL,
  exception TEXT,
  message TEXT,
  stacktrace TEXT,
  task TEXT,
  endpoint TEXT,
  can_restart INTEGER
) WITHOUT ROWID;
CREATE INDEX failure_at ON failure (at_ms);
CREATE INDEX failure_job ON failure (job, at_ms);
CREATE TABLE missed (
  uid TEXT PRIMARY KEY,
  job INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  run INTEGER NOT NULL,
  first_id INTEGER NOT NULL,
  last_id INTEGER NOT NULL,
  count INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX missed_at ON missed (at_ms);
CREATE TABLE seen (
  cluster TEXT NOT NULL,
  from_ms INTEGER NOT NULL,
  to_ms INTEGER NOT NULL,
  reachable INTEGER NOT NULL,
  jobs INTEGER,
  PRIMARY KEY (cluster, from_ms)
) WITHOUT ROWID;
CREATE TABLE upkeep (
  expired INTEGER NOT NULL,
  epoch INTEGER NOT NULL
);
INSERT INTO upkeep VALUES (0, 0);
