//! The server, with this crate's own client and with misbehaving clients.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::future::pending;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use flink_rest::types::{
    AsynchronousOperationResult, EmptyResponseBody, File, JarUploadResponseBody, JobIdWithStatus,
    JobIdsWithStatusOverview, JobRescalesHistory, OperationInfo, QueueStatus, SerializedThrowable, TriggerResponse,
};
use flink_rest::{
    CancelJob, Client, Declaration, ENDPOINTS, Error, FileName, JarFile, JobId, JobManagerLogFile, JobStatus, Jobs,
    Multipart, QueueStatusId, RescalesHistory, RestError, RestServer, RestService, SavepointStatus, ServerOptions,
    TriggerId, TriggerSavepoint, UploadJar, YarnCancelJob, router,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{interval, timeout};

const JOB: &str = "0b1d198cd84d58810f0faf9761017b2f";

fn job() -> JobId {
    JobId::new(JOB).unwrap()
}

/// A cluster of one job that logs its requests.
#[derive(Default)]
struct Cluster {
    requests: Arc<Mutex<Vec<String>>>,
}

impl Cluster {
    fn note(&self, text: String) {
        self.requests.lock().unwrap().push(text);
    }
}

impl RestService for Cluster {
    async fn jobs(&self, _: Jobs) -> Result<JobIdsWithStatusOverview, RestError> {
        let job = JobIdWithStatus::new(job(), JobStatus::Running);
        Ok(JobIdsWithStatusOverview::new(vec![job]))
    }

    async fn cancel_job(&self, request: CancelJob) -> Result<EmptyResponseBody, RestError> {
        self.note(format!("cancel {} {:?}", request.job, request.mode));
        Ok(EmptyResponseBody::default())
    }

    async fn yarn_cancel_job(&self, request: YarnCancelJob) -> Result<EmptyResponseBody, RestError> {
        self.note(format!("cancel {}", request.job));
        Ok(EmptyResponseBody::default())
    }

    async fn trigger_savepoint(&self, request: TriggerSavepoint) -> Result<TriggerResponse, RestError> {
        let directory = request.body.target_directory.unwrap_or_default();
        self.note(format!("savepoint to {directory:?}"));
        let request_id = TriggerId::new(if directory.is_empty() { "bad" } else { "good" }).unwrap();
        Ok(TriggerResponse::new(request_id))
    }

    async fn savepoint_status(&self, request: SavepointStatus) -> Result<AsynchronousOperationResult, RestError> {
        self.note(format!("status of {}", request.trigger));
        let requests = self.requests.lock().unwrap().iter().filter(|request| request.starts_with("status")).count();
        // In progress, unavailable, then completed.
        let (id, operation) = match (requests, request.trigger.as_str()) {
            (_, "unknown") => return Err(RestError::new(404, "There is no savepoint operation with that id.")),
            (1, _) => (QueueStatusId::InProgress, None),
            (2, _) => return Err(RestError::new(503, "Leader election.")),
            (_, "good") => {
                let mut operation = OperationInfo::default();
                operation.location = Some("file:/savepoints/1".to_owned());
                (QueueStatusId::Completed, Some(operation))
            }
            _ => {
                let mut operation = OperationInfo::default();
                operation.failure_cause =
                    Some(SerializedThrowable::new("java.lang.IllegalStateException", "no default directory\n\tat x.Y"));
                (QueueStatusId::Completed, Some(operation))
            }
        };
        let mut result = AsynchronousOperationResult::new(QueueStatus::new(id));
        result.operation = operation;
        Ok(result)
    }

    async fn upload_jar(&self, request: UploadJar) -> Result<JarUploadResponseBody, RestError> {
        let [part] = &request.body.parts[..] else { return Err(RestError::new(400, "Exactly 1 file must be sent.")) };
        self.note(format!("{} {:?} {} bytes", part.name, part.file_name, part.content.len()));
        let filename = format!("/uploads/0000_{}", part.file_name.as_deref().unwrap_or_default());
        let mut response = JarUploadResponseBody::new(filename);
        response.status = "success".to_owned();
        Ok(response)
    }

    async fn job_manager_log_file(&self, request: JobManagerLogFile) -> Result<File, RestError> {
        self.note(format!("log {}", request.file));
        Ok(File::new(b"a line\n\xff".to_vec()))
    }

    /// A response that is never ready.
    async fn rescales_history(&self, _: RescalesHistory) -> Result<JobRescalesHistory, RestError> {
        pending().await
    }
}

/// A server on a loopback port that runs until it is dropped.
struct Running {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    _stop: oneshot::Sender<()>,
}

impl Running {
    async fn start(mut options: ServerOptions) -> Self {
        let service = Cluster::default();
        let requests = service.requests.clone();
        options.address = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = RestServer::bind(service, options).await.unwrap();
        let address = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Self { address, requests, _stop: stop }
    }

    fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address)).unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and returns everything up to the end of the connection.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may close the connection before it has read everything.
        let _ = stream.write_all(request).await;
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response).await;
        String::from_utf8_lossy(&response).into_owned()
    }

    /// Sends a request on a new connection; returns the status and the body of the response.
    async fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> (String, String) {
        let length = body.len();
        let host = if headers.contains("host:") { String::new() } else { format!("host: {}\r\n", self.address) };
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{host}connection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        let response = self.exchange(request.as_bytes()).await;
        let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
        (head.lines().next().unwrap_or_default().replace("HTTP/1.1 ", ""), body.to_owned())
    }
}

#[tokio::test]
async fn own_client_calls_all_kinds_of_endpoints() {
    let server = Running::start(ServerOptions::default()).await;
    let client = server.client();
    assert_eq!(client.call(&Jobs).await.unwrap().jobs[0].id, job());
    client.call(&CancelJob::new(job()).mode("cancel".to_owned())).await.unwrap();
    let log = client.call(&JobManagerLogFile { file: FileName::new("a b.log").unwrap() }).await.unwrap();
    assert_eq!(log.content, b"a line\n\xff");
    let jar = Multipart::file("jarfile", "job \"1\".jar", "application/java-archive", vec![0; 1000]);
    let uploaded = client.call(&UploadJar { body: jar }).await.unwrap();
    assert_eq!(uploaded.jar().unwrap().as_str(), "0000_job \"1\".jar");
    let expected = [
        format!("cancel {JOB} Some(\"cancel\")"),
        "log a b.log".to_owned(),
        "jarfile Some(\"job \\\"1\\\".jar\") 1000 bytes".to_owned(),
    ];
    assert_eq!(server.requests(), expected);
}

/// Guarantees: an operation is triggered once and polled until it completes, even over a temporary
/// error. Its failure is an error.
#[tokio::test]
async fn operation_is_triggered_once_and_polled() {
    for (directory, expected) in [
        (Some("file:/savepoints".to_owned()), Ok("file:/savepoints/1")),
        (None, Err("the operation failed: java.lang.IllegalStateException: no default directory")),
    ] {
        let server = Running::start(ServerOptions::default()).await;
        let mut operation = TriggerSavepoint::new(job());
        operation.body.target_directory = directory.clone();
        let result = server.client().run(&operation, Duration::from_secs(60)).await;
        match (&result, expected) {
            (Ok(done), Ok(location)) => assert_eq!(done.location.as_deref(), Some(location)),
            (Err(error @ Error::OperationFailed { class, problem: message, .. }), Err(problem)) => {
                assert_eq!(
                    (class.as_str(), message.as_str()),
                    ("java.lang.IllegalStateException", "no default directory")
                );
                assert_eq!(error.to_string(), format!("http://{}/jobs/{JOB}/savepoints: {problem}", server.address));
            }
            _ => panic!("{result:?}"),
        }
        let id = if directory.is_some() { "good" } else { "bad" };
        let mut expected = vec![format!("savepoint to {:?}", directory.unwrap_or_default())];
        expected.extend(vec![format!("status of {id}"); 3]);
        assert_eq!(server.requests(), expected);
    }
}

#[tokio::test]
async fn operation_continues_after_the_deadline() {
    let server = Running::start(ServerOptions::default()).await;
    let operation = TriggerSavepoint::new(job());
    // The first pause is longer than the deadline.
    let error = server.client().run(&operation, Duration::from_millis(90)).await.unwrap_err();
    match error {
        Error::Deadline { trigger, .. } => assert!(trigger.is_none_or(|trigger| trigger.as_str() == "bad")),
        error => panic!("{error}"),
    }
}

/// Scenario: a wait ends at its deadline, and the client waits on with the id in the error.
/// Guarantees: the operation is not triggered again, and an unknown id is a status of 404.
#[tokio::test]
async fn wait_continues_after_a_deadline() {
    let server = Running::start(ServerOptions::default()).await;
    let (client, minute) = (server.client(), Duration::from_secs(60));
    let operation = TriggerSavepoint::new(job()).target_directory("file:/savepoints");
    let triggered = client.call(&operation).await.unwrap().request_id;
    // The first pause is longer than the deadline.
    let error = client.wait(&operation, triggered, Duration::from_millis(90)).await.unwrap_err();
    let Error::Deadline { trigger: Some(trigger), within, .. } = error else { panic!("{error}") };
    assert_eq!((trigger.as_str(), within), ("good", Duration::from_millis(90)));
    let done = client.wait(&operation, trigger, minute).await.unwrap();
    assert_eq!(done.location.as_deref(), Some("file:/savepoints/1"));
    let triggers = server.requests().into_iter().filter(|request| request.starts_with("savepoint to"));
    assert_eq!(triggers.count(), 1);
    let unknown = client.wait(&operation, TriggerId::new("unknown").unwrap(), minute).await.unwrap_err();
    assert!(unknown.is_not_found(), "{unknown}");
}

#[tokio::test]
async fn jar_is_uploaded_in_pieces() {
    const LENGTH: usize = 700_000;
    let server = Running::start(ServerOptions::default()).await;
    let client = server.client();
    let progress = Arc::new(Mutex::new(Vec::new()));
    let log = progress.clone();
    let content = std::io::Cursor::new(vec![7_u8; LENGTH]);
    let jar = JarFile::new("job.jar", LENGTH as u64, content);
    let uploaded = client.upload_jar(jar, Duration::from_secs(60), move |sent| log.lock().unwrap().push(sent)).await;
    assert_eq!(uploaded.unwrap().jar().unwrap().as_str(), "0000_job.jar");
    assert_eq!(server.requests(), [format!("jarfile Some(\"job.jar\") {LENGTH} bytes")]);
    let progress = progress.lock().unwrap().clone();
    assert!(progress.len() > 5 && progress.is_sorted() && progress.last() == Some(&(LENGTH as u64)), "{progress:?}");

    let jar = JarFile::new("short.jar", 100, std::io::Cursor::new(vec![7_u8; 99]));
    let error = client.upload_jar(jar, Duration::from_secs(60), |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("the jar ends after 99 of 100 bytes"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

/// Guarantees: every endpoint that is not implemented returns the error of a version that lacks it.
#[tokio::test]
async fn unimplemented_endpoint_returns_flinks_404() {
    let server = Running::start(ServerOptions::default()).await;
    let implemented =
        ["/jobs", "/jobs/17/savepoints/17", "/jobmanager/logs/17", "/jobs/17/rescales/history", "/jobs/17/yarn-cancel"];
    let mut requests = 0;
    for Declaration { method, path, query, .. } in ENDPOINTS.iter().filter(|endpoint| endpoint.method == "GET") {
        let path: Vec<_> = path.split('/').map(|part| if part.starts_with(':') { "17" } else { part }).collect();
        let path = path.join("/");
        if implemented.contains(&path.as_str()) {
            continue;
        }
        let query = if query.is_empty() { "" } else { "?x=1" };
        let (status, body) = server.request(method, &format!("/v1{path}{query}"), "", "{}").await;
        assert_eq!(status, "404 Not Found", "{path}");
        assert_eq!(body, format!("{{\"errors\":[\"Unable to load requested file {path}.\"]}}"));
        requests += 1;
    }
    assert!(requests > 60, "{requests}");
    for (method, path, expected) in [
        ("GET", "/", "404 Not Found {\"errors\":[\"Unable to load requested file /.\"]}"),
        ("GET", "/v2/jobs", "404 Not Found {\"errors\":[\"Unable to load requested file /v2/jobs.\"]}"),
        ("OPTIONS", "/jobs", "404 Not Found {\"errors\":[\"Not found: /jobs\"]}"),
        ("DELETE", "/cluster?x", "404 Not Found {\"errors\":[\"Not found: /cluster\"]}"),
        ("HEAD", "/jobs", "404 Not Found "),
    ] {
        let (status, body) = server.request(method, path, "", "").await;
        assert_eq!(format!("{status} {body}"), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn invalid_requests_are_refused() {
    let server = Running::start(ServerOptions::default()).await;
    let job = format!("/jobs/{JOB}");
    for (method, path, headers, body, status, problem) in [
        (
            "POST",
            format!("{job}/savepoints"),
            "",
            "{not json",
            "400 Bad Request",
            "expected format SavepointTriggerRequestBody",
        ),
        (
            "POST",
            format!("{job}/savepoints"),
            "",
            r#"{"cancel-job":"perhaps"}"#,
            "400 Bad Request",
            "invalid type: string",
        ),
        ("POST", format!("{job}/savepoints"), "", "[[[[[[", "400 Bad Request", "expected format"),
        (
            "POST",
            format!("{job}/savepoints"),
            "content-type: text/html\r\n",
            "<!DOCTYPE html><html></html>",
            "400 Bad Request",
            "expected JSON, found HTML",
        ),
        (
            "POST",
            format!("{job}/savepoints"),
            "",
            r#"{"target-directory":{"a":1}}"#,
            "400 Bad Request",
            "invalid type: map",
        ),
        ("POST", format!("{job}/checkpoints"), "", "[1]", "400 Bad Request", "expected format"),
        ("POST", format!("{job}/savepoints"), "", "\"a text\"", "400 Bad Request", "invalid type: string"),
        (
            "POST",
            "/jars/upload".to_owned(),
            "",
            "{}",
            "400 Bad Request",
            "expected multipart/form-data with a boundary",
        ),
        (
            "POST",
            "/jars/upload".to_owned(),
            "content-type: multipart/form-data; boundary=x\r\n",
            "--x--",
            "400 Bad Request",
            "Exactly 1 file",
        ),
        (
            "GET",
            format!("{job}/checkpoints/details/x"),
            "",
            "",
            "400 Bad Request",
            "path parameter (checkpointid) from value \\\"x\\\"",
        ),
        (
            "GET",
            format!("{job}/exceptions?maxExceptions=abc"),
            "",
            "",
            "400 Bad Request",
            "query parameter (maxExceptions)",
        ),
        ("PATCH", format!("{job}/rescaling?parallelism=x"), "", "", "400 Bad Request", "query parameter (parallelism)"),
        // The name of a file is not a path, in any encoding.
        (
            "GET",
            "/jobmanager/logs/..%2F..%2Fetc%2Fpasswd".to_owned(),
            "",
            "",
            "400 Bad Request",
            "path parameter (filename)",
        ),
        ("GET", "/jobmanager/logs/%2e%2e".to_owned(), "", "", "400 Bad Request", "path parameter (filename)"),
        ("GET", "/jobs/%2e%2e".to_owned(), "", "", "400 Bad Request", "path parameter (jobid)"),
        ("PATCH", "/jobs/..".to_owned(), "", "", "400 Bad Request", "path parameter (jobid)"),
        ("DELETE", "/jars/%2e%2e%2fa.jar".to_owned(), "", "", "400 Bad Request", "path parameter (jarid)"),
        ("GET", "/jobmanager/logs/a%00b".to_owned(), "", "", "400 Bad Request", "path parameter (filename)"),
        ("GET", "/jobmanager/logs/..%5Cx".to_owned(), "", "", "400 Bad Request", "path parameter (filename)"),
        ("GET", "/jobmanager/logs/%ff".to_owned(), "", "", "400 Bad Request", "path parameter (filename)"),
        (
            "GET",
            "/jobmanager/logs/../../etc/passwd".to_owned(),
            "",
            "",
            "404 Not Found",
            "Unable to load requested file",
        ),
        ("GET", format!("/jobs/{}", "a".repeat(300)), "", "", "400 Bad Request", "path parameter (jobid)"),
        // Requests that a page of another site makes a browser send.
        (
            "GET",
            "/jobs".to_owned(),
            "host: evil.example.com\r\n",
            "",
            "421 Misdirected Request",
            "not known by the name",
        ),
        (
            "POST",
            format!("{job}/savepoints"),
            "origin: https://evil.example.com\r\n",
            "{}",
            "403 Forbidden",
            "another site",
        ),
        ("POST", format!("{job}/savepoints"), "origin: null\r\n", "{}", "403 Forbidden", "another site"),
        // A GET that is an operation: the URL of an image can send it, even from a page of the same
        // site.
        ("GET", format!("{job}/yarn-cancel"), "sec-fetch-site: cross-site\r\n", "", "403 Forbidden", "another site"),
        (
            "GET",
            format!("{job}/yarn-cancel"),
            "referer: https://evil.example.com/page?a=b\r\n",
            "",
            "403 Forbidden",
            "another site",
        ),
        ("GET", format!("/v1{job}/yarn-stop/"), "sec-fetch-site: same-site\r\n", "", "403 Forbidden", "another site"),
        (
            "GET",
            format!("{job}/yarn-cancel"),
            "origin: https://evil.example.com\r\n",
            "",
            "403 Forbidden",
            "another site",
        ),
    ] {
        let (response_status, body) = server.request(method, &path, headers, body).await;
        assert_eq!(response_status, status, "{method} {path}");
        assert!(body.starts_with("{\"errors\":[\"") && body.contains(problem), "{method} {path}: {body}");
    }
    assert_eq!(server.requests(), Vec::<String>::new());
    let same_site = format!("origin: http://{}\r\n", server.address);
    let same_page = format!("referer: http://{}/web/index.html\r\n", server.address);
    for (method, path, headers) in [
        ("PATCH", job.clone(), same_site.as_str()),
        ("GET", format!("{job}/yarn-cancel"), same_page.as_str()),
        ("PATCH", job.clone(), "sec-fetch-site: same-origin\r\n"),
        ("GET", format!("{job}/yarn-cancel"), "sec-fetch-site: same-origin\r\n"),
        ("GET", format!("{job}/yarn-cancel"), "sec-fetch-site: none\r\n"),
        ("GET", format!("{job}/yarn-cancel"), ""),
    ] {
        let (status, _) = server.request(method, &path, headers, "").await;
        assert_eq!(status, "202 Accepted", "{method} {path} {headers}");
    }
    // Reads are harmless, since the page cannot see the response.
    let (status, _) = server.request("GET", "/jobs", "sec-fetch-site: cross-site\r\n", "").await;
    assert_eq!(status, "200 OK");
}

/// Guarantees: a parameter is decoded once, so that it cannot become another path.
#[tokio::test]
async fn parameter_is_decoded_once() {
    let server = Running::start(ServerOptions::default()).await;
    for (method, path, expected) in [
        ("GET", "/v1/jobmanager/logs/a%20b.log/", "log a b.log"),
        ("GET", "/jobmanager/logs/%252e%252e", "log %2e%2e"),
        ("GET", "/jobmanager/logs/%252e%252e%252fetc%252fpasswd", "log %2e%2e%2fetc%2fpasswd"),
        ("PATCH", "/jobs/%252e%252e", "cancel %2e%2e None"),
        ("PATCH", "/jobs/%2e%2e%2fconfig?mode=%252e", "cancel ../config Some(\"%2e\")"),
    ] {
        let (status, _) = server.request(method, path, "", "").await;
        assert!(status.starts_with('2'), "{path}: {status}");
        assert_eq!(server.requests().last().unwrap(), expected, "{path}");
    }
}

/// Guarantees: the server does not decompress bodies, so a decompression bomb is only invalid JSON.
#[tokio::test]
async fn gzip_request_body_is_not_decompressed() {
    let mut options = ServerOptions::default();
    options.max_body_bytes = 1 << 20;
    let server = Running::start(options).await;
    let bomb = gzip(&vec![b' '; 1 << 20]).repeat(200);
    for (body, status, problem) in [
        (gzip(b"{}"), 400, "expected format SavepointTriggerRequestBody"),
        (bomb, 400, "expected format SavepointTriggerRequestBody"),
        (gzip(b"{}").repeat(1 << 16), 413, "The body is larger than 1048576 bytes."),
    ] {
        let length = body.len();
        let head = format!(
            "POST /jobs/{JOB}/savepoints HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-encoding: gzip\r\n\
             content-length: {length}\r\n\r\n"
        );
        let refused = server.exchange(&[head.into_bytes(), body].concat()).await;
        assert!(refused.starts_with(&format!("HTTP/1.1 {status} ")) && refused.contains(problem), "{refused}");
    }
    assert_eq!(server.requests(), Vec::<String>::new());
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

/// Guarantees: a request whose body breaks off triggers nothing.
#[tokio::test]
async fn truncated_body_triggers_nothing() {
    let server = Running::start(ServerOptions::default()).await;
    let head = format!("POST /jobs/{JOB}/savepoints HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for begun in [
        format!("{head}content-length: 10\r\n\r\n{{}}"),
        format!("{head}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n"),
        format!("{head}transfer-encoding: chunked\r\n\r\nten\r\n"),
        format!("{head}content-len"),
    ] {
        let mut stream = server.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response).await;
        let response = String::from_utf8_lossy(&response);
        assert!(response.is_empty() || response.starts_with("HTTP/1.1 400 "), "{begun}: {response}");
    }
    assert_eq!(server.requests(), Vec::<String>::new());
    assert_eq!(server.client().call(&Jobs).await.unwrap().jobs.len(), 1);
}

#[tokio::test]
async fn oversized_request_is_refused_unread() {
    let mut options = ServerOptions::default();
    options.max_body_bytes = 1000;
    let server = Running::start(options).await;
    let savepoints = format!("/jobs/{JOB}/savepoints");
    let (status, body) = server.request("POST", &savepoints, "", &" ".repeat(1001)).await;
    assert_eq!(
        (status.as_str(), body.as_str()),
        ("413 Payload Too Large", "{\"errors\":[\"The body is larger than 1000 bytes.\"]}")
    );
    // The body has 200 MB, announced or not. The client can only fill the buffers of the sockets.
    let head = format!("POST {savepoints} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    let announced =
        server.exchange(format!("{head}content-length: 200000000\r\n\r\n{}", " ".repeat(2000)).as_bytes()).await;
    assert!(announced.starts_with("HTTP/1.1 413 "), "{announced}");
    const TOTAL: usize = 200 << 20;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let endless = server.exchange(format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}").as_bytes()).await;
    assert!(endless.starts_with("HTTP/1.1 413 "), "{endless}");
    let mut stream = server.connect().await;
    stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
    let mut sent = 0;
    while sent < TOTAL && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < TOTAL / 10, "{sent}");
    for head in [
        format!("GET /jobs HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(100_000)),
        format!("GET /jobs HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(1000)),
    ] {
        let refused = server.exchange(head.as_bytes()).await;
        assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
    }
    let long =
        server.exchange(format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(100_000)).as_bytes()).await;
    assert!(long.starts_with("HTTP/1.1 414 ") || long.starts_with("HTTP/1.1 431 "), "{long}");
    let plain = server.exchange(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    assert!(plain.starts_with("HTTP/1.1 400 "), "{plain}");
    assert_eq!(server.requests(), Vec::<String>::new());
    assert_eq!(server.client().call(&Jobs).await.unwrap().jobs.len(), 1);
}

/// Guarantees: a slow client loses its connection, and another one gets its slot.
#[tokio::test]
async fn slow_clients_time_out() {
    let short = Duration::from_millis(200);
    let mut options = ServerOptions::default();
    options.header_timeout = short;
    options.request_timeout = short;
    options.max_connections = 1;
    let server = Running::start(options).await;
    let head = format!("POST /jobs/{JOB}/savepoints HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (begun, expected) in [
        // The head is missing, the head does not end, or the body does not end.
        (String::new(), ""),
        ("GET /jobs HTT".to_owned(), ""),
        (format!("{head}content-length: 10\r\n\r\n{{"), "HTTP/1.1 408 Request Timeout"),
        // The service is never ready.
        (
            format!("GET /jobs/{JOB}/rescales/history HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"),
            "HTTP/1.1 408 Request Timeout",
        ),
    ] {
        let response = server.exchange(begun.as_bytes()).await;
        assert_eq!(response.lines().next().unwrap_or_default(), expected, "{begun}");
    }
    // Each byte comes in time, but the last one never: the limit is for the whole.
    for begun in [
        "G".to_owned(),
        "GET /jobs HTTP/1.1\r\nx: ".to_owned(),
        format!("{head}content-length: 1000000\r\n\r\n"),
        format!("{head}transfer-encoding: chunked\r\n\r\nf4240\r\n"),
    ] {
        let (mut reader, mut writer) = server.connect().await.into_split();
        writer.write_all(begun.as_bytes()).await.unwrap();
        let drip = async {
            let mut next = interval(Duration::from_millis(1));
            while writer.write_all(b" ").await.is_ok() {
                next.tick().await;
            }
        };
        let mut response = Vec::new();
        // Bytes in flight may reset the connection before the client reads the response.
        tokio::join!(drip, async {
            let _ = reader.read_to_end(&mut response).await;
        });
        assert!(response.is_empty() || response.starts_with(b"HTTP/1.1 408 "), "{begun}");
    }
    assert_eq!(server.client().call(&Jobs).await.unwrap().jobs.len(), 1);
    assert_eq!(server.requests(), Vec::<String>::new());
}

/// Guarantees: a route beside the endpoints, such as a file of the web UI, is served, and all else
/// is unchanged.
#[tokio::test]
async fn router_takes_routes_beside_the_endpoints() {
    let options = ServerOptions::default();
    let router = router(Cluster::default(), &options).route("/index.html", get(async || "<html></html>"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(RestServer::new(listener, router, options).serve(pending()));
    assert_eq!(client.get_raw("/index.html").await.unwrap().body, b"<html></html>");
    assert_eq!(client.call(&Jobs).await.unwrap().jobs[0].id, job());
    assert_eq!(client.get_raw("/main.js").await.unwrap().status, 404);
}

#[test]
fn default_address_is_loopback() {
    assert!(ServerOptions::default().address.ip().is_loopback());
}

/// Guarantees: a connection ends at its maximum age, even while idle.
#[tokio::test]
async fn connection_ends_at_its_maximum_age() {
    let mut options = ServerOptions::default();
    options.connection_timeout = Duration::from_millis(200);
    options.header_timeout = Duration::from_secs(600);
    let server = Running::start(options).await;
    let requests = server.exchange(b"GET /jobs HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let kept_alive = timeout(Duration::from_secs(60), requests).await.unwrap();
    assert!(kept_alive.starts_with("HTTP/1.1 200 OK"), "{kept_alive}");
    assert_eq!(server.client().call(&Jobs).await.unwrap().jobs.len(), 1);
}

/// Guarantees: a stopped server accepts no more requests, and ends despite an idle connection.
#[tokio::test]
async fn stopped_server_ends() {
    let options = ServerOptions::new(([127, 0, 0, 1], 0));
    let server = RestServer::bind(Cluster::default(), options).await.unwrap();
    let address = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async {
        let _ = stopped.await;
    }));
    let client = Client::new(&format!("http://{address}")).unwrap();
    client.call(&Jobs).await.unwrap();
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(client.call(&Jobs).await.unwrap_err().is_temporary());
}

/// Guarantees: a layer around the service, such as authentication, runs before it, on any listener.
#[tokio::test]
async fn router_layer_authenticates() {
    let service = Cluster::default();
    let requests = service.requests.clone();
    let options = ServerOptions::default();
    let known = async |request: Request, next: Next| match request.headers().get(AUTHORIZATION) {
        Some(token) if token == "Bearer of-us" => Ok(next.run(request).await),
        _ => Err(StatusCode::UNAUTHORIZED),
    };
    let router = router(service, &options).layer(from_fn(known));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(RestServer::new(listener, router, options).serve(pending()));
    let cancel = CancelJob::new(job());
    let stranger = Client::new(&url).unwrap().call(&cancel).await.unwrap_err();
    assert!(matches!(&stranger, Error::Status { problem, .. } if problem.status() == 401), "{stranger}");
    assert_eq!(*requests.lock().unwrap(), Vec::<String>::new());
    Client::builder(&url).bearer_auth("of-us").build().unwrap().call(&cancel).await.unwrap();
    assert_eq!(*requests.lock().unwrap(), [format!("cancel {JOB} None")]);
}
