//! The client: one connection pool to one JobManager.

mod builder;
mod connector;
mod error;
mod pool;
#[cfg_attr(not(feature = "tls"), path = "plain.rs")]
mod tls;
mod transport;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt as _;
use tokio::io::AsyncRead;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use pool::Pool;

use crate::body::{BodyError, StatusError, first_relevant_line};
use crate::endpoints::is_read;
use crate::text::{MAX_TEXT_CHARS, escaped};
use crate::types::{AsynchronousOperationResult, JarUploadResponseBody, OperationInfo, TriggerResponse};
use crate::upload::{JarFile, Upload};
use crate::{Endpoint, Operation, QueueStatusId, Resource, ResponseBody as _, TriggerId, UploadJar};

pub use builder::ClientBuilder;
pub use error::{ConnectFailure, Error};

/// The first pause before a request is sent again. Each pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A client of one JobManager.
///
/// A clone is cheap and shares the connections of the original.
/// The futures of a client need a tokio runtime.
///
/// # Limits
///
/// * A request has one deadline, from its start to the last byte of the response.
/// * Bodies are read up to a limit, which also applies to their decompressed size.
/// * The head of a response has at most 400 KiB and 100 fields.
/// * Redirects are not followed.
/// * Nothing is retried unless [`ClientBuilder::retries`] is set, but for one case: if a kept
///   connection breaks before the response, a read-only request is sent once more, on a new
///   connection. The server may have closed the connection just then.
///
/// The client keeps connections alive and logs nothing.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use flink_rest::{Client, JobsOverview};
///
/// async fn print_jobs() -> Result<(), flink_rest::Error> {
///     let client = Client::builder("http://localhost:8081").timeout(Duration::from_secs(5)).build()?;
///     for job in client.call(&JobsOverview).await?.jobs {
///         println!("{} {} {}", job.jid, job.state, job.name);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Client {
    pool: Arc<Pool>,
    headers: HeaderMap,
    /// The credentials in place of those in `headers`.
    authorization: Arc<RwLock<Option<HeaderValue>>>,
    /// The URL of the proxy, without user information.
    proxy: Option<Arc<str>>,
    /// The proxy forwards requests, so they name the whole URL.
    is_forwarded: bool,
    base_url: Arc<str>,
    /// The length of the scheme, host and port in `base_url`.
    origin_length: usize,
    timeout: Duration,
    retries: u32,
    max_body_bytes: usize,
    on_skipped: OnSkipped,
}

/// A function that gets the URL and the error of a skipped entry.
type OnSkipped = Arc<dyn Fn(&str, &BodyError) + Send + Sync>;

/// A response of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The target of a redirect.
    pub location: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Client {
    /// Creates a client of the JobManager at `base_url`, such as `http://localhost:8081`, with
    /// default options.
    ///
    /// # Errors
    /// Returns an error if the URL is invalid.
    pub fn new(base_url: &str) -> Result<Self, Error> {
        Self::builder(base_url).build()
    }

    /// Starts a client of the JobManager, or the proxy in front of it, at `base_url`.
    ///
    /// A path in the URL becomes the prefix of each request's path.
    /// User information (`user:password@`) has the effect of
    /// [`basic_auth`](ClientBuilder::basic_auth).
    pub fn builder(base_url: &str) -> ClientBuilder {
        ClientBuilder::new(base_url)
    }

    /// Returns the base URL without user information and without a trailing slash.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Sends this token with each further request of this client and its clones, in place of other
    /// credentials.
    ///
    /// A token that expires is replaced without a new connection.
    ///
    /// # Errors
    /// Returns an error if the token has a character that is not allowed in a header.
    pub fn set_bearer_auth(&self, token: &str) -> Result<(), Error> {
        let value = builder::bearer_header(token)?;
        *self.authorization.write().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }

    /// Sends a request to an endpoint and decodes the response.
    ///
    /// Entries of lists that cannot be decoded are skipped, see [`ClientBuilder::on_skipped`].
    ///
    /// # Errors
    /// Returns [`Error::Status`] for any status but success, and another error if there is no
    /// response or it cannot be decoded.
    ///
    /// # Examples
    ///
    /// ```
    /// use flink_rest::{Client, Error, JobId, JobMetrics};
    ///
    /// async fn restarts(client: &Client, job: JobId) -> Result<Option<String>, Error> {
    ///     let request = JobMetrics::new(job).names(vec!["numRestarts".to_owned()]);
    ///     let metrics = client.call(&request).await?;
    ///     Ok(metrics.value("numRestarts").map(str::to_owned))
    /// }
    /// ```
    pub async fn call<E: Endpoint>(&self, endpoint: &E) -> Result<E::Response, Error> {
        let path = endpoint.path();
        let method = Method::from_bytes(E::METHOD.as_bytes()).map_err(|error| Error::InvalidUrl {
            url: format!("{}{path}", self.base_url),
            problem: error.to_string(),
        })?;
        // Two GET requests of Flink end a job; their status is not 200.
        let is_read = method == Method::GET && E::STATUS == 200;
        let retries = if is_read { self.retries } else { 0 };
        let call_once = async || {
            let response = self.exchange(&self.url(&path)?, &method, endpoint.body(), is_read).await?;
            self.decode::<E>(&path, &response)
        };
        let mut pauses = pauses();
        for _ in 0..retries {
            match call_once().await {
                Err(error) if error.is_temporary() => sleep(pauses()).await,
                result => return result,
            }
        }
        call_once().await
    }

    fn decode<E: Endpoint>(&self, path: &str, response: &Response) -> Result<E::Response, Error> {
        let url = || format!("{}{path}", self.base_url);
        if let Some(problem) = response.status_error() {
            return Err(Error::Status { url: url(), problem });
        }
        let mut skipped = Vec::new();
        let decoded = E::Response::from_bytes_with(&response.body, &mut skipped);
        skipped.iter().for_each(|entry| (self.on_skipped)(&url(), entry));
        decoded.map_err(|problem| Error::Body { url: url(), problem })
    }

    /// Triggers an operation, such as [`TriggerSavepoint`](crate::TriggerSavepoint), and waits
    /// until it has completed.
    ///
    /// The operation is triggered at most once. Polls of its status are repeated after temporary
    /// errors.
    ///
    /// # Errors
    /// Returns [`Error::OperationFailed`] if the operation failed, and [`Error::Deadline`] if it
    /// takes longer than `within`.
    /// After a missed deadline the operation continues on the cluster.
    pub async fn run<O: Operation>(&self, operation: &O, within: Duration) -> Result<OperationInfo, Error> {
        let deadline = Instant::now() + within;
        let triggered = timeout_at(deadline, self.call(operation)).await;
        let late = |_| Error::Deadline { url: format!("{}{}", self.base_url, operation.path()), within, trigger: None };
        let TriggerResponse { request_id, .. } = triggered.map_err(late)??;
        self.wait_until(operation, request_id, within, deadline).await
    }

    /// Waits until an operation that was triggered earlier has completed.
    ///
    /// `trigger` is the id in an [`Error::Deadline`] of [`run`](Self::run), or in the response of
    /// the operation. Polls are repeated after temporary errors.
    ///
    /// # Errors
    /// Returns the same errors as [`run`](Self::run).
    /// If the cluster no longer knows the operation, the error is a status of 404.
    pub async fn wait<O: Operation>(
        &self,
        operation: &O,
        trigger: TriggerId,
        within: Duration,
    ) -> Result<OperationInfo, Error> {
        self.wait_until(operation, trigger, within, Instant::now() + within).await
    }

    async fn wait_until<O: Operation>(
        &self,
        operation: &O,
        request_id: TriggerId,
        within: Duration,
        deadline: Instant,
    ) -> Result<OperationInfo, Error> {
        let triggered = format!("{}{}", self.base_url, operation.path());
        let status = operation.status(request_id.clone());
        let mut pauses = pauses();
        let outcome = timeout_at(deadline, async {
            loop {
                sleep(pauses()).await;
                match self.call(&status).await {
                    Ok(AsynchronousOperationResult { status, operation, .. })
                        if status.id == QueueStatusId::Completed =>
                    {
                        return Ok(operation.unwrap_or_default());
                    }
                    Ok(_) => {}
                    Err(error) if error.is_temporary() => {}
                    Err(error) => return Err(error),
                }
            }
        });
        let late = |_| Error::Deadline { url: triggered.clone(), within, trigger: Some(request_id) };
        let outcome = outcome.await.map_err(late)??;
        match outcome.failure() {
            None => Ok(outcome),
            Some(failure) => {
                let (class, line) =
                    (escaped(&failure.class, MAX_TEXT_CHARS), first_relevant_line(&failure.stack_trace));
                let problem = match line.strip_prefix(&class) {
                    Some("") => "no message".to_owned(),
                    Some(rest) => rest.strip_prefix(": ").map_or_else(|| line.clone(), str::to_owned),
                    None => line,
                };
                Err(Error::OperationFailed { url: triggered, class, problem })
            }
        }
    }

    /// Uploads a jar within a time limit.
    ///
    /// The content is read while it is sent. After each piece, `progress` gets the number of bytes
    /// sent so far.
    /// The jar is sent at most once.
    ///
    /// # Errors
    /// Returns an error if the content cannot be read or ends early, or if the upload fails.
    pub async fn upload_jar<R>(
        &self,
        jar: JarFile<R>,
        within: Duration,
        progress: impl FnMut(u64) + Send + Sync + Unpin + 'static,
    ) -> Result<JarUploadResponseBody, Error>
    where
        R: AsyncRead + Send + Sync + Unpin + 'static,
    {
        let (content_type, upload) = Upload::new(jar, progress);
        let url = self.url(UploadJar::PATH)?;
        let response = self.upload(&url, within, content_type, upload.boxed_unsync()).await?;
        self.decode::<UploadJar>(UploadJar::PATH, &response)
    }

    /// Sends a request to a resource and returns the response, of any status.
    ///
    /// # Errors
    /// Returns an error if there is no complete response.
    pub async fn get(&self, resource: &Resource) -> Result<Response, Error> {
        // A resource is read-only.
        self.exchange(&self.url(&resource.path())?, &Method::GET, None, true).await
    }

    /// Sends a GET request to `path` and returns the response, of any status.
    ///
    /// The path begins with a slash and is percent-encoded.
    /// Two GET requests of Flink are not read-only: `/jobs/:jobid/yarn-cancel` and
    /// `/jobs/:jobid/yarn-stop` end the job.
    ///
    /// # Errors
    /// Returns an error if there is no complete response.
    pub async fn get_raw(&self, path: &str) -> Result<Response, Error> {
        self.exchange(&self.url(path)?, &Method::GET, None, is_read("GET", path)).await
    }

    /// Returns the URL of `path`.
    fn url(&self, path: &str) -> Result<String, Error> {
        let text = format!("{}{path}", self.base_url);
        if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_?=&,".contains(&byte))
        {
            return Ok(text);
        }
        let invalid = |problem: String| Error::InvalidUrl { url: escaped(&text, MAX_TEXT_CHARS), problem };
        if !path.starts_with('/') {
            return Err(invalid("expected a path with a leading slash".to_owned()));
        }
        let mut url = Url::parse(&text).map_err(|error| invalid(error.to_string()))?;
        // A fragment is not sent, and `..` is resolved: the request would be another one.
        url.set_fragment(None);
        if url.as_str() != text {
            return Err(invalid(format!("it would be sent as {}", escaped(url.as_str(), MAX_TEXT_CHARS))));
        }
        Ok(text)
    }
}

/// Returns a function that returns the pauses between attempts, one after the other.
fn pauses() -> impl FnMut() -> Duration {
    let mut next = FIRST_PAUSE;
    move || {
        let pause = next;
        next = LONGEST_PAUSE.min(next * 2);
        pause
    }
}

impl Response {
    /// Creates a response as a [`Client`] returns it, for a test without a cluster.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, location: None, body: body.into() }
    }

    /// Returns the error that the status stands for; `None` for a success.
    pub fn status_error(&self) -> Option<StatusError> {
        match &self.location {
            Some(location) if (300..400).contains(&self.status) => Some(StatusError::redirect(self.status, location)),
            _ => StatusError::of(self.status, &self.body),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base_url", &self.base_url)
            .field("timeout", &self.timeout)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: a request is small enough to be moved thousands of times a second. Its rare
    /// steps, such as a TLS handshake, are not part of it.
    #[test]
    fn request_is_small() {
        let client = Client::new("http://localhost:8081").unwrap();
        let resource = Resource::parse("/jobs/overview").unwrap();
        let size = size_of_val(&client.get(&resource));
        assert!(size <= 3 << 10, "{size} bytes");
    }
}
