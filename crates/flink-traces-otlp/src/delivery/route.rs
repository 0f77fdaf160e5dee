//! The connection to a collector, which may have to be found first.

use std::cell::Cell;

use crate::config::Target;
use crate::error::BoxError;
use crate::response::{Response, Verdict};
use crate::transport::Transport;

/// The ways to a collector, of which one is used.
pub(crate) struct Route {
    ways: Vec<Transport>,
    /// The way that is used, by its position.
    current: Cell<usize>,
    /// `true` once it is known that the way leads to a collector.
    is_known: Cell<bool>,
}

impl Route {
    /// Prepares connections. Several targets are tried until one accepts a request.
    pub(crate) fn new(targets: Vec<Target>) -> Result<Self, BoxError> {
        let ways = targets.into_iter().map(Transport::new).collect::<Result<Vec<_>, _>>()?;
        let is_known = Cell::new(ways.len() == 1);
        Ok(Self { ways, current: Cell::new(0), is_known })
    }

    /// Returns `true` if the way is known.
    pub(super) fn is_known(&self) -> bool {
        self.is_known.get()
    }

    /// Returns the way that is used.
    pub(crate) fn transport(&self) -> &Transport {
        &self.ways[self.current.get()]
    }

    /// Returns all ways.
    pub(crate) fn ways(&self) -> &[Transport] {
        &self.ways
    }

    /// Takes the way with the most telling response to one request over each way.
    ///
    /// Returns that response, with the reasons of all.
    pub(super) fn take(&self, responses: Vec<Response>) -> Response {
        let worth = |response: &Response| match response.verdict {
            Verdict::Accepted { .. } => 3,
            Verdict::Refused(_) => 2,
            Verdict::NoResponse | Verdict::TlsFailed => 0,
            _ => 1,
        };
        let reasons = self.ways.iter().zip(&responses);
        let reasons = reasons.map(|(way, response)| format!("{}: {}", way.target().protocol.name(), response.reason));
        let reason = reasons.collect::<Vec<_>>().join("; ");
        // Of several, the last is the maximum, but the first way is preferred.
        let best = responses.into_iter().enumerate().rev().max_by_key(|(_, response)| worth(response));
        let Some((index, response)) = best else { return Response::new(Verdict::NoResponse, reason) };
        self.current.set(index);
        match response.verdict {
            Verdict::Accepted { .. } => {
                self.is_known.set(true);
                response
            }
            verdict @ (Verdict::Refused(_) | Verdict::NoResponse | Verdict::TlsFailed) => {
                Response { verdict, reason, ..response }
            }
            // An empty request is refused for no reason that the records have.
            _ => Response { verdict: Verdict::Later { delay: None }, reason, ..response },
        }
    }
}
