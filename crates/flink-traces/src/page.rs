//! The page of a history: its static files, and the answers of queries as JSON.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flink_traces_api::{Clock, SystemClock};
use flink_traces_history::query::{Extent, Window};
use flink_traces_history::{History, HistoryError};
use flink_traces_runtime::config::ReporterSetup;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio::sync::Semaphore;

/// The maximum number of checkpoints in an answer.
const MAX_CHECKPOINTS: usize = 20_000;
/// The maximum number of checkpoints with their subtasks in an answer.
const MAX_TREES: usize = 200;
/// The maximum number of recoveries or causes in an answer.
const MAX_ROWS: usize = 10_000;
/// The number of queries that run at the same time. The others wait.
const CONCURRENCY: usize = 4;
/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;
/// The age of the newest record from which on a history counts as a recording.
const STALE_MS: i64 = 15 * 60_000;

/// The files of the page, with their paths and types.
const FILES: [(&str, &str, &str); 6] = [
    ("/", "text/html; charset=utf-8", include_str!("../page/index.html")),
    ("/app.css", "text/css; charset=utf-8", include_str!("../page/app.css")),
    ("/app.js", "text/javascript; charset=utf-8", include_str!("../page/app.js")),
    ("/charts.js", "text/javascript; charset=utf-8", include_str!("../page/charts.js")),
    ("/util.js", "text/javascript; charset=utf-8", include_str!("../page/util.js")),
    ("/views.js", "text/javascript; charset=utf-8", include_str!("../page/views.js")),
];

/// The headers of all responses: the page asks its own server only, and nothing may embed it.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// The page of a history.
#[derive(Debug)]
pub(crate) struct Page {
    /// The directory of the history.
    pub(crate) directory: PathBuf,
    /// The time that the page calls now.
    pub(crate) now: Now,
    /// A URL with `{traceId}` in it, under which a trace is shown.
    pub(crate) trace_url: Option<String>,
}

/// The time that a page calls now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Now {
    /// The time of the system, because this process writes to the history.
    Clock,
    /// The time of the system, unless nothing was added to the history for some time.
    ClockIfRecent,
    /// The time of the newest record.
    EndOfHistory,
}

/// The answer about the history as a whole.
#[derive(Serialize)]
struct Status {
    version: &'static str,
    now_ms: i64,
    is_live: bool,
    extent: Extent,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_url: Option<String>,
}

struct Shared {
    page: Page,
    permits: Semaphore,
}

/// Returns the directory of the first history reporter.
pub(crate) fn history_directory(setups: &[ReporterSetup]) -> Option<PathBuf> {
    let setup = setups.iter().find(|setup| setup.class == flink_traces_history::FACTORY)?;
    Some(PathBuf::from(setup.config.value("path")?.raw.to_string()))
}

impl Page {
    /// Returns the routes of the page.
    pub(crate) fn router(self) -> Router {
        let mut router = Router::new();
        for (path, media_type, content) in FILES {
            router = router.route(path, get(async move || ([(header::CONTENT_TYPE, media_type)], content)));
        }
        router
            .route("/api/status", get(status))
            .route("/api/now", get(now))
            .route("/api/fleet", get(fleet))
            .route("/api/job", get(job))
            .route("/api/checkpoint", get(checkpoint))
            .route("/api/stragglers", get(stragglers))
            .route("/api/recoveries", get(recoveries))
            .route("/api/failures", get(failures))
            .layer(from_fn(with_headers))
            .with_state(Arc::new(Shared { page: self, permits: Semaphore::new(CONCURRENCY) }))
    }

    /// Returns the time that the page calls now, and `true` if that is the time of the system.
    fn now(&self, history: &History) -> Result<(i64, bool), HistoryError> {
        let clock = SystemClock.now_millis();
        if self.now == Now::Clock {
            return Ok((clock, true));
        }
        let end_ms = history.end_ms()?;
        let is_recent = end_ms == 0 || clock.saturating_sub(end_ms) < STALE_MS;
        let is_live = self.now == Now::ClockIfRecent && is_recent;
        Ok(if is_live { (clock, true) } else { (end_ms, false) })
    }
}

async fn with_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The parameters of a request.
struct Parameters(String);

impl Parameters {
    fn text(&self, name: &str) -> Option<String> {
        let pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()?;
        Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// Returns the window from `from` to `to`, by default the day before `now_ms`.
    fn window(&self, now_ms: i64) -> Window {
        let usual = Window::before(now_ms, DAY_MS);
        match (self.number("from"), self.number("to")) {
            (Some(from_ms), Some(to_ms)) if from_ms < to_ms => Window { from_ms, to_ms },
            _ => usual,
        }
    }
}

/// Runs a query on a thread that may block, and returns its answer as JSON.
async fn answer<T: Serialize + 'static>(
    shared: Arc<Shared>,
    query: Option<String>,
    ask: impl FnOnce(&Page, &History, &Parameters) -> Result<T, HistoryError> + Send + 'static,
) -> Response {
    let Ok(_permit) = shared.permits.acquire().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let parameters = Parameters(query.unwrap_or_default());
    let state = shared.clone();
    let asked = tokio::task::spawn_blocking(move || -> Result<Vec<u8>, String> {
        let page = &state.page;
        if !page.directory.join("history.db").exists() {
            return Err(format!("nothing has been written to {} yet", page.directory.display()));
        }
        let found = History::open(&page.directory).and_then(|history| ask(page, &history, &parameters));
        serde_json::to_vec(&found.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    });
    match asked.await {
        Ok(Ok(json)) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn status(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    answer(shared, query, |page, history, _| {
        let (now_ms, is_live) = page.now(history)?;
        let (extent, trace_url) = (history.extent()?, page.trace_url.clone());
        Ok(Status { version: env!("CARGO_PKG_VERSION"), now_ms, is_live, extent, trace_url })
    })
    .await
}

async fn now(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    answer(shared, query, |page, history, _| {
        let (now_ms, is_live) = page.now(history)?;
        history.findings(now_ms, is_live)
    })
    .await
}

async fn fleet(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    answer(shared, query, |page, history, parameters| {
        let window = parameters.window(page.now(history)?.0);
        history.fleet(window, parameters.number("slices").unwrap_or(96))
    })
    .await
}

async fn job(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    answer(shared, query, |page, history, parameters| {
        let window = parameters.window(page.now(history)?.0);
        history.job(parameters.number("job").unwrap_or_default(), window, MAX_CHECKPOINTS)
    })
    .await
}

async fn checkpoint(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    answer(shared, query, |_, history, parameters| {
        let number = |name: &str| parameters.number(name).unwrap_or_default();
        history.checkpoint(number("job"), number("trigger"), number("id"))
    })
    .await
}

async fn stragglers(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    answer(shared, query, |page, history, parameters| {
        let (window, vertex) = (parameters.window(page.now(history)?.0), parameters.text("vertex"));
        history.stragglers(parameters.number("job").unwrap_or_default(), window, vertex.as_deref(), MAX_TREES)
    })
    .await
}

async fn recoveries(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    answer(shared, query, |page, history, parameters| {
        history.recoveries(parameters.number("job"), parameters.window(page.now(history)?.0), MAX_ROWS)
    })
    .await
}

async fn failures(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    answer(shared, query, |page, history, parameters| {
        history.failures(parameters.window(page.now(history)?.0), MAX_ROWS)
    })
    .await
}
