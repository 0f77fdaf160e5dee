//! One reporter queue against a naive model.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use flink_traces_api::ReportError;
use flink_traces_runtime::ReporterStats;
use flink_traces_runtime::dispatch::DropReason;
use proptest::prelude::*;

use crate::harness::{Harness, LONG, Script, memory_of, tree};

#[derive(Debug, Clone)]
enum Step {
    /// Adds a tree of that many spans, and has it reported at once or at the next look.
    Add { units: u64, hurries: bool },
    /// Adds a tree that the filter keeps out.
    AddUnwanted(u64),
    /// Finalizes the batch that the reporter holds, if any.
    Answer(Answer),
    /// Checks if everything is finalized.
    Flush,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Delivered { at_the_deadline: bool },
    Failed { rejected: u64, lost: u64 },
    Panicked,
}

fn step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![
        6 => Just(Answer::Delivered { at_the_deadline: false }),
        6 => (0..12_u64, 0..12_u64).prop_map(|(rejected, lost)| Answer::Failed { rejected, lost }),
        1 => Just(Answer::Panicked),
    ];
    prop_oneof![
        5 => (1..10_u64, prop::bool::weighted(0.9)).prop_map(|(units, hurries)| Step::Add { units, hurries }),
        1 => (1..10_u64).prop_map(Step::AddUnwanted),
        4 => answer.prop_map(Step::Answer),
        1 => Just(Step::Flush),
    ]
}

/// The model of a reporter queue, which holds trees by their number of spans.
#[derive(Debug, Default)]
struct Model {
    capacity: u64,
    max_bytes: u64,
    in_flight: Option<Vec<u64>>,
    waiting: Vec<u64>,
    is_closed: bool,
    has_panicked: bool,
    filtered: u64,
    delivered: u64,
    rejected: u64,
    failures: u64,
    dropped: BTreeMap<DropReason, u64>,
}

impl Model {
    fn trees(&self) -> impl Iterator<Item = u64> {
        self.waiting.iter().chain(self.in_flight.iter().flatten()).copied()
    }

    fn queued(&self) -> u64 {
        self.trees().sum()
    }

    fn queued_bytes(&self) -> u64 {
        self.trees().map(bytes_of).sum()
    }

    fn drop(&mut self, units: u64, reason: DropReason) {
        if units > 0 {
            *self.dropped.entry(reason).or_default() += units;
        }
    }

    fn add(&mut self, units: u64) {
        if self.is_closed {
            self.drop(units, DropReason::Closed);
        } else if self.has_panicked {
            self.drop(units, DropReason::Panicked);
        } else if self.queued() >= self.capacity || self.queued_bytes() + bytes_of(units) > self.max_bytes {
            self.drop(units, DropReason::QueueFull);
        } else {
            self.waiting.push(units);
        }
    }

    fn answer(&mut self, answer: Answer) {
        let Some(batch) = self.in_flight.take() else { return };
        let units: u64 = batch.iter().sum();
        match answer {
            Answer::Delivered { .. } => self.delivered += units,
            Answer::Failed { rejected, lost } => {
                let mut left = units;
                for _ in 0..rejected {
                    if left > 0 {
                        left -= 1;
                        self.rejected += 1;
                    }
                }
                for _ in 0..lost {
                    if left > 0 {
                        left -= 1;
                        self.drop(1, DropReason::GivenUp);
                    }
                }
                self.delivered += left;
                self.failures += 1;
            }
            Answer::Panicked => {
                self.drop(units, DropReason::Panicked);
                for units in std::mem::take(&mut self.waiting) {
                    self.drop(units, DropReason::Panicked);
                }
                self.has_panicked = true;
                self.failures += 1;
            }
        }
    }

    /// Shuts down without time: the reporter delivers its batch, and the rest is dropped.
    fn shut_down(&mut self) {
        self.answer(Answer::Delivered { at_the_deadline: true });
        for units in std::mem::take(&mut self.waiting) {
            self.drop(units, DropReason::Shutdown);
        }
        self.is_closed = true;
    }

    /// Returns the next batch of an idle reporter, which is the whole queue.
    fn take(&mut self) -> Option<Vec<u64>> {
        if self.in_flight.is_none() && !self.waiting.is_empty() {
            self.in_flight = Some(std::mem::take(&mut self.waiting));
            return self.in_flight.clone();
        }
        None
    }

    fn assert_is(&self, stats: &ReporterStats) {
        let emitted = self.delivered + self.rejected + self.dropped.values().sum::<u64>() + self.queued();
        assert_eq!(
            (stats.emitted, stats.filtered, stats.delivered, stats.rejected, stats.queued, stats.failures),
            (emitted, self.filtered, self.delivered, self.rejected, self.queued(), self.failures)
        );
        assert_eq!((&stats.dropped, stats.queued_bytes), (&self.dropped, self.queued_bytes()));
    }
}

/// Returns the memory of a tree of `units` spans, which is named after their number.
fn bytes_of(units: u64) -> u64 {
    memory_of(tree(&units.to_string(), units))
}

/// The real queue. Its reporter sends each batch to the test and waits for its outcome.
struct Real {
    harness: Harness,
    batches: Receiver<Vec<u64>>,
    answers: SyncSender<Answer>,
}

impl Real {
    fn start(capacity: u64, max_bytes: u64) -> Self {
        let (tell, batches) = sync_channel(1);
        let (answers, told) = sync_channel::<Answer>(1);
        let script = Script::traces("r").option("queue.size", capacity).option("queue.max-bytes", max_bytes);
        let script = script.option("filter.excludes", "*:unwanted").report(move |batch, deadline| {
            tell.send(batch.names.iter().map(|name| name.parse().unwrap()).collect()).unwrap();
            match told.recv_timeout(LONG).unwrap() {
                Answer::Delivered { at_the_deadline } => {
                    assert!(!at_the_deadline || !deadline.sleep(LONG));
                    Ok(())
                }
                Answer::Failed { rejected, lost } => Err(ReportError::from_rejected(rejected as usize, "refused")
                    .and(ReportError::from_dropped(lost as usize, true, "lost"))),
                Answer::Panicked => panic!("told so"),
            }
        });
        Self { harness: Harness::start([script]), batches, answers }
    }
}

fn check(capacity: u64, max_bytes: u64, steps: &[Step], late: u64) {
    let mut model = Model { capacity, max_bytes, ..Model::default() };
    let real = Real::start(capacity, max_bytes);
    for step in steps {
        match step {
            Step::Add { units, hurries } => {
                real.harness.add_span(&units.to_string(), *units);
                model.add(*units);
                assert!(!hurries || real.harness.dispatcher.flush(Duration::ZERO) == (model.queued() == 0));
            }
            Step::AddUnwanted(units) => {
                real.harness.add_span("unwanted", *units);
                model.filtered += units;
            }
            Step::Answer(answer) if model.in_flight.is_some() => {
                real.answers.send(*answer).unwrap();
                model.answer(*answer);
                // If nothing follows, only a flush shows that the outcome was processed.
                assert!(!model.waiting.is_empty() || real.harness.dispatcher.flush(LONG));
            }
            Step::Answer(_) => {}
            Step::Flush => {
                assert_eq!(real.harness.dispatcher.flush(Duration::ZERO), model.queued() == 0);
            }
        }
        if let Some(batch) = model.take() {
            assert_eq!(real.batches.recv_timeout(LONG).unwrap(), batch);
        }
        model.assert_is(&real.harness.account("r"));
    }

    if model.in_flight.is_some() {
        real.answers.send(Answer::Delivered { at_the_deadline: true }).unwrap();
    }
    model.shut_down();
    model.assert_is(&real.harness.finish(Duration::ZERO)[0]);
    real.harness.add_span("late", late);
    model.add(late);
    model.assert_is(&real.harness.finish(LONG)[0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn queue_equals_its_model(
        capacity in 1..24_u64,
        max_bytes in prop_oneof![Just(1 << 30), 1..5_000_u64],
        steps in prop::collection::vec(step(), 0..60),
        late in 1..5_u64,
    ) {
        check(capacity, max_bytes, &steps, late);
    }
}
