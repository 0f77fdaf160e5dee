//! The applications of the jobs of a cluster; since Flink 2.3.
//!
//! A job has the id of its application, and only the list of applications has the name.

use std::collections::BTreeMap;
use std::sync::Arc;

use flink_rest::types::MultipleApplicationsDetails;
use flink_rest::{ApplicationsOverview, Resource};

use super::text::{MAX_NAME_CHARS, bounded};
use super::{REFRESH_MS, RequestOutcome, SETTLE_MS};
use crate::observation::JobApplication;

/// The requests for the list of applications.
#[derive(Debug, Default)]
pub(super) struct Applications {
    /// The time of the next request, if one is wanted.
    due: Option<i64>,
    is_in_flight: bool,
    /// `true` if requests are sent. A recording may lack the list.
    is_live: bool,
}

impl Applications {
    /// Notes that a job waits for the name of its application.
    pub(super) fn want(&mut self) {
        self.due = Some(self.due.unwrap_or(i64::MIN));
    }

    pub(super) fn requests(&mut self, now: i64, wanted: &mut Vec<Resource>) {
        self.is_live = true;
        if !self.is_in_flight && self.due.is_some_and(|due| now >= due) {
            self.due = None;
            self.is_in_flight = true;
            wanted.push(ApplicationsOverview.into());
        }
    }

    /// Notes the outcome of a request. Returns `true` if it is final.
    pub(super) fn observe(&mut self, at: i64, outcome: &RequestOutcome) -> bool {
        self.is_in_flight = false;
        let has_failed = matches!(outcome, RequestOutcome::Unavailable | RequestOutcome::TimedOut);
        if has_failed {
            self.due = Some(at.saturating_add(REFRESH_MS));
        }
        !has_failed
    }

    /// Returns `true` if requests are sent, so that a name may arrive.
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }
}

/// The application of one job.
#[derive(Debug, Default)]
pub(super) enum Application {
    /// The details of the job have not arrived, or have no application.
    #[default]
    Unknown,
    /// The name is not known yet.
    Awaited {
        /// The application without its name.
        unnamed: Arc<JobApplication>,
        /// The time at which the id arrived.
        since: i64,
    },
    Known(Arc<JobApplication>),
}

impl Application {
    /// Takes the id in the details of the job. Returns `true` if it is new, so that the name is not
    /// known yet.
    pub(super) fn observe_id(&mut self, at: i64, id: &str) -> bool {
        let is_new = matches!(self, Self::Unknown);
        if is_new {
            let unnamed = JobApplication::new(bounded(id, MAX_NAME_CHARS), None);
            *self = Self::Awaited { unnamed: Arc::new(unnamed), since: at };
        }
        is_new
    }

    /// Takes the names of all applications. An application without one stays unnamed.
    pub(super) fn observe_names(&mut self, names: &Names) {
        if let Self::Awaited { unnamed, .. } = self {
            *self = Self::Known(names.0.get(&unnamed.id).unwrap_or(unnamed).clone());
        }
    }

    /// Returns `true` while records of the job wait for the name.
    pub(super) fn is_awaited(&self, now: i64) -> bool {
        matches!(self, Self::Awaited { since, .. } if now < since.saturating_add(SETTLE_MS))
    }

    /// Returns the application as far as it is known.
    pub(super) fn get(&self) -> Option<Arc<JobApplication>> {
        match self {
            Self::Unknown => None,
            Self::Awaited { unnamed: application, .. } | Self::Known(application) => Some(application.clone()),
        }
    }
}

/// The applications of a response, by id.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, Arc<JobApplication>>);

impl Names {
    pub(super) fn new(response: &MultipleApplicationsDetails) -> Self {
        let named = response.applications.iter().map(|application| {
            let id = application.id.to_string();
            let name = Some(bounded(&application.name, MAX_NAME_CHARS)).filter(|name| !name.is_empty());
            (id.clone(), Arc::new(JobApplication::new(id, name)))
        });
        Self(named.collect())
    }
}
