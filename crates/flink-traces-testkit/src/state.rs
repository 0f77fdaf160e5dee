//! The state of a collector.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::otlp::Records;
use crate::{CollectorResponse, ReceivedEvent, ReceivedRequest, ReceivedSpan};

/// The state that the collector's thread and the test share.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) arrived: Condvar,
}

pub(crate) type Rule = Box<dyn FnMut(&ReceivedRequest) -> CollectorResponse + Send>;

/// The script of a test and everything that the collector received.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) script: VecDeque<CollectorResponse>,
    pub(crate) rule: Option<Rule>,
    pub(crate) requests: Vec<ReceivedRequest>,
    pub(crate) spans: Vec<ReceivedSpan>,
    pub(crate) events: Vec<ReceivedEvent>,
}

impl Shared {
    /// Chooses the response to a request and records the request and its accepted records.
    pub(crate) fn receive(&self, mut request: ReceivedRequest, records: Records) -> CollectorResponse {
        request.records = records.len();
        let mut state = self.lock();
        let response = match state.script.pop_front() {
            Some(response) => response,
            None => state.rule.as_mut().map(|rule| rule(&request)).unwrap_or_default(),
        };
        request.accepted = response.accepts(request.records);
        match records {
            Records::Spans(spans) => state.spans.extend(spans.into_iter().take(request.accepted)),
            Records::Events(events) => state.events.extend(events.into_iter().take(request.accepted)),
        }
        state.requests.push(request);
        self.arrived.notify_all();
        response
    }

    /// Records a request that could not be decoded.
    pub(crate) fn refuse(&self, request: ReceivedRequest) {
        self.lock().requests.push(request);
        self.arrived.notify_all();
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        f.debug_struct("Shared").field("requests", &state.requests.len()).finish_non_exhaustive()
    }
}
