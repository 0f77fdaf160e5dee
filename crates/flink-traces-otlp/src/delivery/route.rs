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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Authorization, Protocol, TlsConfig};
    use crate::response::Refusal;
    use flink_traces_api::Signal;
    use http::HeaderMap;

    fn target(protocol: Protocol) -> Target {
        Target {
            url: "http://127.0.0.1:4318".parse().unwrap(),
            protocol,
            signal: Signal::Traces,
            timeout: Duration::from_secs(1),
            gzip: false,
            headers: HeaderMap::new(),
            authorization: Authorization::None,
            tls: TlsConfig::default(),
            proxy: None,
            no_proxy: String::new(),
        }
    }

    /// Guarantees: an acceptance counts most, then a refusal, then any other response. Of two that
    /// count alike, the first is taken.
    #[test]
    fn way_with_the_most_telling_response_is_taken() {
        let accepted = Verdict::Accepted { rejected: 0 };
        let refused = Verdict::Refused(Refusal::Address);
        let later = Verdict::Later { delay: Some(Duration::from_secs(5)) };
        let no_delay = Verdict::Later { delay: None };
        let (none, tls) = (Verdict::NoResponse, Verdict::TlsFailed);
        for (verdicts, current, verdict) in [
            (&[accepted][..], 0, accepted),
            (&[refused, accepted], 1, accepted),
            (&[refused, later], 0, refused),
            (&[later, refused], 1, refused),
            (&[later, Verdict::Rejected], 0, no_delay),
            (&[tls, Verdict::Rejected], 1, no_delay),
            (&[none, tls], 0, none),
            (&[tls, none], 0, tls),
            (&[], 0, none),
        ] {
            let route = Route::new([Protocol::Http, Protocol::HttpJson].map(target).into()).unwrap();
            assert!(!route.is_known());
            let responses = verdicts.iter().map(|verdict| Response::new(*verdict, "said")).collect();
            let response = route.take(responses);
            let reasons = ["http: said", "http/json: said"][..verdicts.len()].join("; ");
            let reason = if verdict == accepted { "said".to_owned() } else { reasons };
            assert_eq!(response, Response::new(verdict, reason), "{verdicts:?}");
            assert_eq!((route.current.get(), route.is_known()), (current, verdict == accepted), "{verdicts:?}");
        }
        assert!(Route::new(vec![target(Protocol::Http)]).unwrap().is_known());
    }
}
