//! The records of a session, as fingerprints that are quick to compare.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use flink_traces_testkit::{Encoding, OtlpCollector, ReceivedEvent, ReceivedSpan};

use crate::Setup;
use crate::player::Program;

/// The last field of an encoded span, if it is a status without a code.
const EMPTY_STATUS: &[u8] = &[15 << 3 | 2, 0];

/// A hash of everything in a record, with its resource and scope.
type Fingerprint = u64;

/// A recording, and the records that it must yield.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) name: &'static str,
    /// The protocols over which it is sent.
    pub(crate) protocols: &'static [(&'static str, Encoding)],
    pub(crate) recording: PathBuf,
    /// The number of times that each record arrives without faults.
    expected: BTreeMap<Fingerprint, usize>,
    /// The collector that has these records.
    pub(crate) reference: OtlpCollector,
}

impl Session {
    /// Plays a recording without faults. It must yield at least that many spans.
    pub(crate) fn prepare(
        name: &'static str,
        protocols: &'static [(&'static str, Encoding)],
        recording: PathBuf,
        spans: usize,
        setup: &Setup,
    ) -> Result<Self> {
        let reference = OtlpCollector::start()?;
        Program::play(&setup.binary, &recording, &setup.folder).to(&reference.grpc_endpoint(), "grpc").run()?;
        let found = reference.spans().len();
        ensure!(found >= spans, "{name}: expected {spans} spans, found {found}");
        let expected = count(requests(&reference).iter().flat_map(|request| &request.records));
        Ok(Self { name, protocols, recording, expected, reference })
    }

    /// Returns the number of records.
    pub(crate) fn len(&self) -> usize {
        self.expected.values().sum()
    }

    /// Compares the records of a collector, and returns how many arrived twice.
    ///
    /// Only records of those requests that `may_repeat` selects may arrive twice.
    pub(crate) fn compare(&self, collector: &OtlpCollector, may_repeat: impl Fn(&Request) -> bool) -> Result<usize> {
        let requests = requests(collector);
        let found = count(requests.iter().flat_map(|request| &request.records));
        let missing = self.expected.keys().filter(|record| !found.contains_key(record)).count();
        let unknown = found.keys().filter(|record| !self.expected.contains_key(record)).count();
        if missing + unknown > 0 {
            let difference = self.difference(collector).unwrap_or_default();
            bail!("{missing} of {} records are missing, {unknown} are unknown{difference}", self.len());
        }
        let repeatable =
            count(requests.iter().filter(|request| may_repeat(request)).flat_map(|request| &request.records));
        let repeated = found.iter().map(|(record, times)| (record, times - self.expected[record]));
        let repeated: Vec<_> = repeated.filter(|(_, times)| *times > 0).collect();
        let unexplained =
            repeated.iter().filter(|(record, times)| repeatable.get(record).is_none_or(|most| times > most));
        let unexplained = unexplained.count();
        ensure!(unexplained == 0, "{unexplained} records arrived twice, although they were answered before");
        Ok(repeated.iter().map(|(_, times)| times).sum())
    }
}

impl Session {
    /// Returns a span that arrived with other content, as expected and as found.
    fn difference(&self, collector: &OtlpCollector) -> Option<String> {
        let found = collector.spans();
        let found: BTreeMap<_, _> = found.iter().map(|span| ((span.trace_id(), span.span_id()), span)).collect();
        self.reference.spans().iter().find_map(|expected| {
            let found = found.get(&(expected.trace_id(), expected.span_id()))?;
            (of_span(expected) != of_span(found)).then(|| format!("\n{}\n{}", expected.plain(), found.plain()))
        })
    }
}

/// An accepted request.
#[derive(Debug)]
pub(crate) struct Request {
    /// The position among the accepted requests of its signal.
    pub(crate) position: usize,
    pub(crate) has_spans: bool,
    records: Vec<Fingerprint>,
}

/// Returns the accepted requests of a collector, with their records.
fn requests(collector: &OtlpCollector) -> Vec<Request> {
    let (spans, events) = (collector.spans(), collector.events());
    let mut spans = spans.iter().map(of_span);
    let mut events = events.iter().map(of_event);
    let mut positions = [0, 0];
    let mut requests = Vec::new();
    for request in collector.requests().iter().filter(|request| request.accepted > 0) {
        let has_spans = is_of_spans(&request.path);
        let position = &mut positions[usize::from(has_spans)];
        let records = match has_spans {
            true => spans.by_ref().take(request.accepted).collect(),
            false => events.by_ref().take(request.accepted).collect(),
        };
        requests.push(Request { position: *position, has_spans, records });
        *position += 1;
    }
    requests
}

/// Returns the numbers of accepted requests with events and with spans.
pub(crate) fn accepted_requests(collector: &OtlpCollector) -> [usize; 2] {
    let requests = collector.requests();
    let accepted = requests.iter().filter(|request| request.accepted > 0);
    accepted.fold([0, 0], |mut counts, request| {
        counts[usize::from(is_of_spans(&request.path))] += 1;
        counts
    })
}

fn is_of_spans(path: &str) -> bool {
    path.to_ascii_lowercase().contains("trace")
}

fn count<'a>(records: impl Iterator<Item = &'a Fingerprint>) -> BTreeMap<Fingerprint, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(*record).or_default() += 1;
    }
    counts
}

fn of_span(span: &ReceivedSpan) -> Fingerprint {
    let message = span.to_protobuf();
    // The Collector adds an empty status to a span without one, which means the same.
    let message = message.strip_suffix(EMPTY_STATUS).unwrap_or(&message);
    fingerprint(&(format!("{:?}", span.resource()), span.scope(), message))
}

fn of_event(event: &ReceivedEvent) -> Fingerprint {
    fingerprint(&(format!("{:?}", event.resource()), event.scope(), event.to_protobuf()))
}

fn fingerprint(content: &impl Hash) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}
