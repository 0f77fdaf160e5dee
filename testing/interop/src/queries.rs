//! `cargo interop queries`: the queries of `docs/queries.md`, in SQLite, PostgreSQL and
//! ClickHouse.
//!
//! All read the demo's session: SQLite from a history, PostgreSQL from a copy of its tables, and
//! ClickHouse from the tables of the Collector's exporter. They must find the same.

use std::process::{Command, Stdio};

use anyhow::Result;
use harness::run as run_command;

use crate::Setup;
use crate::peers::{PYTHON, environment};

/// ClickHouse and PostgreSQL as Python modules, with the versions that a run stands for.
const PACKAGES: [&str; 3] = ["chdb==4.4.0", "pgserver==0.1.4", "psycopg[binary]==3.3.9"];
const SCRIPT: &str = "testing/interop/queries.py";
const DOCUMENT: &str = "docs/queries.md";

/// Compares the answers to each question. A difference or an answer without rows ends the run.
pub(crate) fn run(setup: &Setup) -> Result<()> {
    let python = environment(&setup.target, "stores", &PACKAGES)?.join(PYTHON);
    let mut demo = Command::new(&setup.binary);
    demo.args([
        "demo",
        "--json-format",
        "otlp",
        "-D",
        "traces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK",
    ]);
    run_command(demo.arg("--json").arg(&setup.folder).stdout(Stdio::null()))?;
    let mut script = Command::new(python);
    script.arg(setup.root.join(SCRIPT)).arg(setup.root.join(DOCUMENT));
    run_command(script.args(["history/history.db", "spans.jsonl", "events.jsonl"].map(|file| setup.folder.join(file))))
}
