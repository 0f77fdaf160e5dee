//! The events of a job, as lines that both sides can follow.
//!
//! - `job <history size> <detail level>`: the job, first line of each sequence
//! - `pending <id> <trigger> <type> <parallelism>…`: a checkpoint was triggered; its tasks are
//!   numbered from 0
//! - `subtask <id> <task> <index> <ack> <unaligned> <8 numbers>`: a subtask acknowledged; numbers
//!   in Flink's order
//! - `incomplete <id> <task> <index> <unaligned> <8 numbers>`: a subtask aborted its snapshot, or
//!   reports too late
//! - `completed <id> <path> <metadata size>`, `failed <id> <time> <message>`: a checkpoint ended
//! - `failed-before-trigger`, `discarded <id>`
//! - `many <first id> <count>`: that many small checkpoints, whose spans are not printed
//! - `initialization <start> (<task> <index> <attempt>)…`: these attempts begin to restore
//! - `restored <id> <type> <path> <size>`: the checkpoint that they restore
//! - `attempt <task> <index> <attempt> <end> <status> (<name> <number>)…`: an attempt
//!   started, or failed to
//! - `location <uri>`: the location of a file of state
//! - `status <status> <time>`: the job went into that state
//! - `state <time> <task> <index> <attempt> <state>`: the attempt went into that state
//! - `failure <time> <can restart> <is global> (<key> <value>)…`: a failure was handled, with these
//!   labels; `-` is an empty one
//! - `snapshot`: print statistics and gauges
//!
//! Generated sequences omit these cases:
//!
//! - States that a job or an attempt already has, and states after the end. Flink reports only
//!   changes.
//! - The completion of a checkpoint that not all subtasks acknowledged, which Flink refuses.
//! - A restore before the first initialization, which Flink refuses as well.
//! - Times of 0, which Flink takes for unset (`docs/flink-parity.md`).
//! - Repeated ids, because a coordinator counts upwards.
//! - Sums beyond 64 bits. Flink's turn negative, ours stay at the maximum.
//! - Start delays and alignments of −1, which cannot occur: Flink divides nanoseconds by a million.
//! - Sizes of −1, which Flink refuses.
//! - Checkpoints and initializations without subtasks, because no such job exists.
//! - Reports after the end of the initialization. Flink repeats its report for each, and we report
//!   once. The driver omits the repetitions.

use std::collections::BTreeMap;

use super::random::Random;

const DETAILS: [&str; 4] =
    ["SPAN_PER_CHECKPOINT", "SPAN_PER_CHECKPOINT_WITH_TASKS", "CHILDREN_SPANS_PER_TASK", "CHILDREN_SPANS_PER_SUBTASK"];
const TYPES: [&str; 6] = ["CHECKPOINT", "CHECKPOINT", "FULL_CHECKPOINT", "SAVEPOINT", "TERMINATE", "SUSPEND"];
/// The execution states without `CREATED`, which no attempt enters. A starting subtask passes the
/// first four in this order.
const STATES: [&str; 9] =
    ["SCHEDULED", "DEPLOYING", "INITIALIZING", "RUNNING", "FINISHED", "CANCELING", "CANCELED", "FAILED", "RECONCILING"];
/// The frequency of sequences that fill the window of the quantiles.
const EVERY_LONG: u64 = 2_500;

/// Generates the sequence of a number.
pub(super) fn generate(seed: u64, number: u64) -> Vec<String> {
    let mut random = Random::new(seed, number);
    let history = *random.of(&[&0, &1, &2, &3, &10]);
    let detail = random.of(&DETAILS);
    let sequence = Sequence {
        lines: vec![format!("job {history} {detail}")],
        counts_upwards: !random.once_in(10),
        next_id: random.between(1, 3),
        now: 1_000_000,
        checkpoints: Vec::new(),
        attempts: Vec::new(),
        status: "CREATED",
        states: BTreeMap::new(),
        random,
    };
    sequence.fill(number % EVERY_LONG == EVERY_LONG - 1)
}

struct Sequence {
    lines: Vec<String>,
    /// `true` if ids grow with time, as they do unless a coordinator was reset.
    counts_upwards: bool,
    next_id: i64,
    now: i64,
    checkpoints: Vec<Checkpoint>,
    attempts: Vec<String>,
    status: &'static str,
    /// The states by attempt.
    states: BTreeMap<String, &'static str>,
    random: Random,
}

#[derive(Debug)]
struct Checkpoint {
    id: i64,
    in_progress: bool,
    parallelisms: Vec<i64>,
    /// The task and the index of each report, and `true` if it acknowledged. A subtask that aborted
    /// its snapshot cannot.
    reported: BTreeMap<(usize, i64), bool>,
}

impl Checkpoint {
    fn can_complete(&self) -> bool {
        self.reported.values().all(|acknowledged| *acknowledged)
    }

    fn report(&mut self, task: usize, index: i64, acknowledged: bool) {
        if self.parallelisms.get(task).is_some_and(|parallelism| index < *parallelism) {
            self.reported.entry((task, index)).or_insert(acknowledged);
        }
    }
}

impl Sequence {
    fn fill(mut self, is_long: bool) -> Vec<String> {
        if is_long {
            self.lines.push("many 1000000 10050".to_owned());
        }
        for _ in 0..self.random.between(3, 40) {
            self.now += self.random.between(0, 2_000);
            match self.random.below(32) {
                0..=3 => self.pending(),
                4..=10 => self.subtask(),
                11 => self.incomplete(),
                12..=14 => self.complete(),
                15..=16 => self.fail(),
                17 => self.lines.push("failed-before-trigger".to_owned()),
                18 => self.discard(),
                19 => self.initialization(),
                20..=21 => self.attempt(),
                22 if !self.attempts.is_empty() => self.restored(),
                22 => {}
                23 => self.location(),
                24 => self.status(),
                25 => self.failure(),
                26..=27 => self.state(),
                28 => self.run_all(),
                _ => self.lines.push("snapshot".to_owned()),
            }
        }
        self.lines.push("snapshot".to_owned());
        self.lines
    }

    fn pending(&mut self) {
        let id = match self.counts_upwards {
            true => self.next_id,
            // Ids alternate downwards and upwards, and never repeat.
            false => 500 + if self.next_id % 2 == 0 { self.next_id } else { -self.next_id },
        };
        self.next_id += if self.random.once_in(10) { self.random.between(2, 9) } else { 1 };
        let tasks = self.random.between(1, 4);
        let parallelisms: Vec<i64> = (0..tasks)
            .map(|_| if self.random.once_in(20) { self.random.between(5, 30) } else { self.random.between(1, 3) })
            .collect();
        let texts: Vec<String> = parallelisms.iter().map(i64::to_string).collect();
        let checkpoint_type = self.random.of(&TYPES);
        self.lines.push(format!("pending {id} {} {checkpoint_type} {}", self.now, texts.join(" ")));
        self.checkpoints.push(Checkpoint { id, in_progress: true, parallelisms, reported: BTreeMap::new() });
    }

    /// Chooses a checkpoint, mostly a recent one in progress.
    fn in_progress(&mut self) -> Option<usize> {
        let open: Vec<usize> =
            (0..self.checkpoints.len()).filter(|place| self.checkpoints[*place].in_progress).collect();
        (!open.is_empty()).then(|| open[self.random.below(open.len())])
    }

    fn subtask(&mut self) {
        let Some(place) = self.in_progress() else { return };
        let (task, index) = self.place_in(place);
        self.acknowledge(place, task, index);
    }

    fn acknowledge(&mut self, place: usize, task: usize, index: i64) {
        let id = self.checkpoints[place].id;
        self.checkpoints[place].report(task, index, true);
        let ack = (self.now + self.random.between(-3_000, 500)).max(1);
        let unaligned = self.random.once_in(4);
        let numbers = self.numbers();
        self.lines.push(format!("subtask {id} {task} {index} {ack} {unaligned} {numbers}"));
    }

    /// Chooses a subtask of the checkpoint, and rarely one that it does not have.
    fn place_in(&mut self, place: usize) -> (usize, i64) {
        let tasks = self.checkpoints[place].parallelisms.len();
        let (unknown_task, unknown_index) = (self.random.once_in(30), self.random.once_in(30));
        let task = self.random.below(tasks + usize::from(unknown_task));
        let parallelism = self.checkpoints[place].parallelisms.get(task).copied().unwrap_or(1);
        let index = self.random.between(0, parallelism - i64::from(!unknown_index));
        (task, index)
    }

    fn incomplete(&mut self) {
        let Some(place) = self.checkpoints.len().checked_sub(1) else { return };
        let place = place - self.random.below(self.checkpoints.len().min(4));
        let (task, index) = self.place_in(place);
        let id = self.checkpoints[place].id;
        self.checkpoints[place].report(task, index, false);
        let unaligned = self.random.once_in(4);
        let numbers = self.numbers();
        self.lines.push(format!("incomplete {id} {task} {index} {unaligned} {numbers}"));
    }

    fn numbers(&mut self) -> String {
        let numbers = (0..8).map(|place| {
            // Sizes, start delay and alignment are never unset.
            let least = if place < 4 { 0 } else { -1 };
            match self.random.below(6) {
                0 => least,
                1 => 0,
                2 => self.random.between(0, 3),
                3 => 1 << self.random.between(0, 40),
                _ => self.random.between(0, 500),
            }
        });
        numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
    }

    fn complete(&mut self) {
        let Some(place) = self.in_progress() else { return };
        if !self.checkpoints[place].can_complete() {
            return;
        }
        for task in 0..self.checkpoints[place].parallelisms.len() {
            for index in 0..self.checkpoints[place].parallelisms[task] {
                // Some subtasks report twice, which does not count.
                if self.random.once_in(10) || !self.checkpoints[place].reported.contains_key(&(task, index)) {
                    self.acknowledge(place, task, index);
                }
            }
        }
        self.checkpoints[place].in_progress = false;
        let id = self.checkpoints[place].id;
        let path = if self.random.once_in(8) { "-".to_owned() } else { format!("file:/checkpoints/chk-{id}") };
        self.lines.push(format!("completed {id} {path} {}", self.random.between(-1, 9_000)));
    }

    fn fail(&mut self) {
        let Some(place) = self.in_progress() else { return };
        self.checkpoints[place].in_progress = false;
        let id = self.checkpoints[place].id;
        let message = self.random.of(&["expired", "declined", "Größe_überschritten", "a=b,c"]);
        self.lines.push(format!("failed {id} {} {message}", self.now));
    }

    fn discard(&mut self) {
        let id = match self.checkpoints.len() {
            0 => 1,
            count => self.checkpoints[self.random.below(count)].id,
        };
        self.lines.push(format!("discarded {id}"));
    }

    fn initialization(&mut self) {
        self.attempts.clear();
        for task in 0..self.random.between(1, 3) {
            for index in 0..self.random.between(1, 3) {
                self.attempts.push(format!("{task} {index} {}", self.random.between(0, 2)));
            }
        }
        self.lines.push(format!("initialization {} {}", self.now, self.attempts.join(" ")));
        if self.random.once_in(2) {
            self.restored();
        }
        if self.random.once_in(2) {
            for attempt in self.attempts.clone() {
                self.report(&attempt);
            }
        }
    }

    fn restored(&mut self) {
        let checkpoint_type = self.random.of(&TYPES);
        let path = self.random.of(&["-", "file:/savepoints/1", "s3://bucket/chk-7"]);
        let (id, size) = (self.random.between(1, 50), 1_i64 << self.random.between(0, 40));
        self.lines.push(format!("restored {id} {checkpoint_type} {path} {size}"));
    }

    fn attempt(&mut self) {
        let attempt = match self.attempts.len() {
            0 => "0 0 0".to_owned(),
            _ if self.random.once_in(8) => "0 7 0".to_owned(),
            count => self.attempts[self.random.below(count)].clone(),
        };
        self.report(&attempt);
    }

    fn report(&mut self, attempt: &str) {
        const NAMES: [&str; 8] = [
            "MailboxStartDurationMs",
            "ReadOutputDataDurationMs",
            "InitializeStateDurationMs",
            "GateRestoreDurationMs",
            "RestoreStateDurationMs",
            "RestoredStateSizeBytes.LOCAL_MEMORY",
            "RestoredStateSizeBytes.REMOTE",
            "Größe-von.irgendwas",
        ];
        let status = if self.random.once_in(8) { "FAILED" } else { "COMPLETED" };
        let end = self.now + self.random.between(-500, 5_000);
        let mut line = format!("attempt {attempt} {end} {status}");
        for _ in 0..self.random.between(0, 6) {
            let name = self.random.of(&NAMES);
            let number = if self.random.once_in(5) { -1 } else { self.random.between(-2, 9_000) };
            line += &format!(" {name} {number}");
        }
        self.lines.push(line);
    }

    fn status(&mut self) {
        let status = self.random.of(&[
            "RUNNING",
            "FAILING",
            "FAILED",
            "CANCELLING",
            "CANCELED",
            "FINISHED",
            "RESTARTING",
            "SUSPENDED",
            "RECONCILING",
            "CREATED",
        ]);
        if self.status != status && !["FAILED", "CANCELED", "FINISHED", "SUSPENDED"].contains(&self.status) {
            self.lines.push(format!("status {status} {}", self.now));
            self.status = status;
        }
    }

    fn state(&mut self) {
        let state = self.random.of(&STATES);
        let (task, index, attempt) = (self.random.below(2), self.random.below(2), self.random.below(2));
        self.go_into(format!("{task} {index} {attempt}"), state);
    }

    /// Changes the state of an attempt, unless it has ended.
    fn go_into(&mut self, attempt: String, state: &'static str) {
        let previous = self.states.get(&attempt).copied().unwrap_or("CREATED");
        if previous != state && !["FINISHED", "CANCELED", "FAILED"].contains(&previous) {
            self.lines.push(format!("state {} {attempt} {state}", self.now));
            self.states.insert(attempt, state);
        }
    }

    /// Starts all subtasks of a task, mostly.
    fn run_all(&mut self) {
        let attempt = self.random.below(2);
        for state in &STATES[..4] {
            for index in 0..2 {
                self.now += self.random.between(0, 20);
                if !self.random.once_in(30) {
                    self.go_into(format!("0 {index} {attempt}"), state);
                }
            }
        }
    }

    fn failure(&mut self) {
        let (can_restart, is_global) = (self.random.once_in(2), self.random.once_in(3));
        let mut line = format!("failure {} {can_restart} {is_global}", self.now);
        for key in ["type", "Ursache.ä"] {
            if self.random.once_in(2) {
                line += &format!(" {key} {}", self.random.of(&["-", "USER", "SYSTEM"]));
            }
        }
        self.lines.push(line);
    }

    fn location(&mut self) {
        let uri = self.random.of(&[
            "file:/data/x",
            "file:///data/x",
            "/data/x",
            "s3://bucket/x",
            "s3a://bucket/x",
            "hdfs://host:8020/x",
            "hdfs:/x",
            "files://x/y",
            "oss-cn://bucket/x",
        ]);
        self.lines.push(format!("location {uri}"));
    }
}
