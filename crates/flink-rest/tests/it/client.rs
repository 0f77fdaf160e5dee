//! The client against servers with good, bad, slow, endless and missing responses.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::fmt::Debug;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use flink_rest::types::MultipleJobsDetails;
use flink_rest::{
    CancelJob, CheckpointDetails, Checkpoints, Client, ClientBuilder, ConnectFailure, Endpoint, Error,
    InvalidParameter, Job, JobId, JobsOverview, Parameters, Resource, Response, TriggerSavepoint, YarnCancelJob,
};
use rcgen::{CertificateParams, Issuer, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::time::{interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

const OVERVIEW: &str = r#"{"jobs":[{"jid":"abc","name":"n","start-time":1,"state":"RUNNING"}]}"#;

/// The response of a server to every request.
#[derive(Clone)]
enum Reply {
    /// These bytes on a connection that stays open.
    Whole(String),
    /// These bytes and the end of the connection.
    Cut(String),
    /// These bytes, and nothing more on an open connection.
    Stall(String),
    /// These bytes, and then endlessly one byte at a time.
    Drip(String),
    /// A chunked body of that many bytes.
    Chunks(usize),
    /// A response with that status and a body of these bytes, which are gzip.
    Packed(&'static str, Vec<u8>),
    /// These bytes to the first request of a connection, and its end at the second one.
    Once(String),
    /// These bytes, once the barrier lets the request pass.
    Meet(Arc<Barrier>, String),
    /// The first response to that many requests, and the second to all others.
    Then(usize, Box<Reply>, Box<Reply>),
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn json(body: &str) -> Reply {
    Reply::Whole(http("200 OK", "content-type: application/json; charset=UTF-8\r\n", body))
}

/// A server on a loopback port that lives as long as the test's runtime.
#[derive(Clone, Default)]
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Server {
    async fn start(reply: Reply) -> Self {
        Self::start_with(reply, None).await
    }

    async fn start_with(reply: Reply, tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap().to_string(), ..Self::default() };
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let state = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                state.connections.fetch_add(1, Ordering::Relaxed);
                let (state, reply, acceptor) = (state.clone(), reply.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => state.serve(stream, &reply).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => state.serve(stream, &reply).await,
                            Err(_) => None,
                        },
                    };
                    state.ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        server
    }

    /// Serves a connection; returns `None` when the client has closed it.
    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, reply: &Reply) -> Option<()> {
        for on_connection in 0.. {
            let request = read_head(&mut stream).await?;
            let before = {
                let mut requests = self.requests.lock().unwrap();
                requests.push(request);
                requests.len() - 1
            };
            let reply = match reply {
                Reply::Then(count, first, then) => {
                    if before < *count {
                        first
                    } else {
                        then
                    }
                }
                reply => reply,
            };
            match reply {
                Reply::Then(..) => panic!("one inside another"),
                Reply::Meet(barrier, text) => {
                    barrier.wait().await;
                    stream.write_all(text.as_bytes()).await.ok()?;
                }
                Reply::Packed(status, body) => {
                    let length = body.len();
                    let head =
                        format!("HTTP/1.1 {status}\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.ok()?;
                    stream.write_all(body).await.ok()?;
                }
                Reply::Once(_) if on_connection > 0 => return stream.shutdown().await.ok(),
                Reply::Once(text) | Reply::Whole(text) => stream.write_all(text.as_bytes()).await.ok()?,
                Reply::Cut(text) => {
                    stream.write_all(text.as_bytes()).await.ok()?;
                    return stream.shutdown().await.ok();
                }
                Reply::Stall(text) => stream.write_all(text.as_bytes()).await.ok()?,
                Reply::Drip(text) => {
                    stream.write_all(text.as_bytes()).await.ok()?;
                    let mut next = interval(Duration::from_millis(1));
                    loop {
                        next.tick().await;
                        stream.write_all(b" ").await.ok()?;
                    }
                }
                Reply::Chunks(total) => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.ok()?;
                    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
                    while self.sent.fetch_add(0x10000, Ordering::Relaxed) < *total {
                        stream.write_all(chunk.as_bytes()).await.ok()?;
                    }
                    stream.write_all(b"0\r\n\r\n").await.ok()?;
                }
            }
        }
        None
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn client(&self) -> ClientBuilder {
        Client::builder(&self.url())
    }

    /// Returns one client for each transport without TLS: direct, and through this server as a
    /// proxy.
    fn clients(&self) -> [ClientBuilder; 2] {
        [self.client(), self.client().proxy(self.url())]
    }

    fn request_lines(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|request| request.lines().next().unwrap().to_owned()).collect()
    }
}

/// The first byte of a TLS handshake.
const TLS_RECORD: [u8; 1] = [22];

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
        if head == TLS_RECORD {
            let (_version, length) = (stream.read_u16().await.ok()?, stream.read_u16().await.ok()?);
            stream.read_exact(&mut vec![0; length.into()]).await.ok()?;
            return Some("TLS where plain HTTP is spoken".to_owned());
        }
    }
    Some(String::from_utf8(head).unwrap())
}

/// Returns the text of an error, with `HOST` for the address, and its kinds.
fn described<T: Debug>(server: &Server, result: Result<T, Error>) -> (String, String) {
    let error = result.unwrap_err();
    let kinds = [
        (error.is_not_found(), "not found"),
        (error.is_missing_endpoint(), "missing endpoint"),
        (error.is_temporary(), "temporary"),
    ];
    let kinds: Vec<_> = kinds.iter().filter(|(is, _)| *is).map(|(_, kind)| *kind).collect();
    (error.to_string().replace(&server.address, "HOST"), kinds.join(", "))
}

#[tokio::test]
async fn requests_have_flinks_form_and_share_a_connection() {
    let server = Server::start(json(OVERVIEW)).await;
    let client = Client::new(&format!("{}/proxied/flink/", server.url())).unwrap();
    let MultipleJobsDetails { jobs, .. } = client.call(&JobsOverview).await.unwrap();
    assert_eq!(jobs[0].jid.as_str(), "abc");
    let Response { status, body, .. } =
        client.clone().get(&Resource::from(Job { job: jobs[0].jid.clone() })).await.unwrap();
    assert_eq!((status, String::from_utf8(body).unwrap().as_str()), (200, OVERVIEW));
    client.get_raw("/jobmanager/logs").await.unwrap();

    let mut first: Vec<_> = server.requests.lock().unwrap()[0].trim_end().lines().map(str::to_owned).collect();
    first.sort();
    let expected = [
        "GET /proxied/flink/jobs/overview HTTP/1.1".to_owned(),
        "accept-encoding: gzip".to_owned(),
        "accept: application/json".to_owned(),
        format!("host: {}", server.address),
        format!("user-agent: flink-rest/{}", env!("CARGO_PKG_VERSION")),
    ];
    assert_eq!(first, expected);
    let paths = server.request_lines();
    assert_eq!(paths[1..], ["GET /proxied/flink/jobs/abc HTTP/1.1", "GET /proxied/flink/jobmanager/logs HTTP/1.1"]);
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
}

/// Scenario: a server returns each of these responses.
/// Guarantees: the error names the stage and the reason in one line, and its kinds are right.
#[tokio::test]
async fn bad_response_is_an_error_with_its_reason() {
    let redirect = "location: https://me:secret@login.example.com/start?state=token\r\n";
    let overview = "http://HOST/jobs/overview: ";
    for (reply, expected, kinds) in [
        (
            json(&OVERVIEW[..30]),
            "EOF while parsing a string at jobs[0].name, line 1, column 30: {\"jobs\":[{\"jid\":\"abc\",\"name\":\"",
            "",
        ),
        (
            json(r#"{"jobs":[{"jid":"abc","start-time":[]}]}"#),
            "invalid type: sequence, expected a number at jobs[0].start-time, line 1, column 37: \
             {\"jobs\":[{\"jid\":\"abc\",\"start-time\":[]}]}",
            "",
        ),
        (
            json("<html><title>Log in</title></html>"),
            "expected JSON, found HTML (is this Flink's REST address?): <html><title>Log in</title></html>",
            "",
        ),
        (
            Reply::Whole(http("401 Unauthorized", "", "<html>Who are you?</html>")),
            "status 401: expected JSON, found HTML (is this Flink's REST address?): <html>Who are you?</html>",
            "",
        ),
        (
            Reply::Whole(http(
                "503 Service Unavailable",
                "",
                r#"{"errors":["ongoing leader election. Please refresh."]}"#,
            )),
            "status 503: ongoing leader election. Please refresh.",
            "temporary",
        ),
        (
            Reply::Whole(http("404 Not Found", "", r#"{"errors":["Unable to load requested file /jobs/overview."]}"#)),
            "status 404: Unable to load requested file /jobs/overview.",
            "not found, missing endpoint",
        ),
        (
            Reply::Whole(http("302 Found", redirect, "")),
            "status 302: redirects to https://******@login.example.com/start, which is not followed",
            "",
        ),
        (Reply::Whole(http("304 Not Modified", "", "")), "status 304", ""),
        (
            Reply::Cut("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"jobs\":".to_owned()),
            "the connection broke: error reading a body from connection: end of file before message length reached",
            "temporary",
        ),
        (Reply::Cut(String::new()), "the connection broke: connection closed before message completed", "temporary"),
        (
            Reply::Cut("SSH-2.0-OpenSSH_9.2\r\n".to_owned()),
            "the connection broke: invalid HTTP version parsed",
            "temporary",
        ),
        (
            Reply::Stall(format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(500_000))),
            "the connection broke: message head is too large",
            "temporary",
        ),
        (
            Reply::Stall(format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101))),
            "the connection broke: message head is too large",
            "temporary",
        ),
        (
            Reply::Stall("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{".to_owned()),
            "the response is larger than 1000 bytes",
            "",
        ),
    ] {
        let server = Server::start(reply).await;
        let expected = (format!("{overview}{expected}"), kinds.to_owned());
        for (client, asked) in server.clients().into_iter().zip(1..) {
            let client = client.max_body_bytes(1000).build().unwrap();
            assert_eq!(described(&server, client.call(&JobsOverview).await), expected);
            assert_eq!(server.requests.lock().unwrap().len(), asked);
        }
    }
}

#[tokio::test]
async fn late_or_endless_response_times_out() {
    let stall = |begun: &str| Reply::Stall(begun.to_owned());
    // Each byte arrives in time, but the last one never does.
    let drip = |begun: &str| Reply::Drip(begun.to_owned());
    for reply in [
        stall(""),
        stall("HTTP/1.1 200 OK\r\n"),
        stall("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"),
        drip("HTTP/1.1 200 OK\r\nx: "),
        drip("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{"),
        drip("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nf4240\r\n{"),
    ] {
        let server = Server::start(reply).await;
        let expected = ("http://HOST/jobs/overview: no response within 200ms".to_owned(), "temporary".to_owned());
        for client in server.clients() {
            let client = client.timeout(Duration::from_millis(200)).build().unwrap();
            assert_eq!(described(&server, client.call(&JobsOverview).await), expected);
        }
    }
}

#[tokio::test]
async fn endless_body_is_read_up_to_the_limit() {
    const TOTAL: usize = 200 << 20;
    let server = Server::start(Reply::Chunks(TOTAL)).await;
    for client in server.clients() {
        let client = client.max_body_bytes(1 << 20).build().unwrap();
        let error = client.get(&JobsOverview.into()).await.unwrap_err();
        assert!(matches!(error, Error::BodyTooLarge { limit, .. } if limit == 1 << 20), "{error}");
    }
    // The server could only fill the buffers of the sockets.
    assert!(server.sent.load(Ordering::Relaxed) < TOTAL / 5);
}

#[tokio::test]
async fn body_of_the_limit_is_read() {
    let server = Server::start(json(OVERVIEW)).await;
    for (limit, fits) in [(OVERVIEW.len(), true), (OVERVIEW.len() - 1, false)] {
        let client = server.client().max_body_bytes(limit).build().unwrap();
        assert_eq!(client.call(&JobsOverview).await.is_ok(), fits);
    }
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

/// Scenario: a proxy compresses responses, and one of them is a decompression bomb.
/// Guarantees: decompression stops at the limit, and invalid gzip is an error.
#[tokio::test]
async fn gzip_body_is_decompressed_up_to_the_limit() {
    const LIMIT: usize = 1 << 20;
    let overview = packed(OVERVIEW.as_bytes());
    let bomb = packed(&vec![b' '; LIMIT]).repeat(200);
    assert!(bomb.len() < LIMIT, "the bomb itself is small: {}", bomb.len());
    let url = "http://HOST/jobs/overview: ";
    for (body, expected) in [
        (overview.clone(), Ok(1)),
        ([overview.clone(), packed(b" \n")].concat(), Ok(1)),
        (packed(&[OVERVIEW.as_bytes(), &vec![b' '; LIMIT - OVERVIEW.len()]].concat()), Ok(1)),
        (
            packed(&[OVERVIEW.as_bytes(), &vec![b' '; LIMIT - OVERVIEW.len() + 1]].concat()),
            Err("the response is larger than 1048576 bytes"),
        ),
        (bomb, Err("the response is larger than 1048576 bytes")),
        (overview[..20].to_vec(), Err("the connection broke: invalid gzip: ")),
        (OVERVIEW.into(), Err("the connection broke: invalid gzip: ")),
    ] {
        let server = Server::start(Reply::Packed("200 OK", body)).await;
        let client = server.client().max_body_bytes(LIMIT).build().unwrap();
        match (client.call(&JobsOverview).await, expected) {
            (Ok(overview), Ok(jobs)) => assert_eq!(overview.jobs.len(), jobs),
            (result, Err(problem)) => {
                let (error, _) = described(&server, result);
                assert!(error.starts_with(&format!("{url}{problem}")), "{error}");
            }
            (result, Ok(_)) => panic!("{result:?}"),
        }
    }
}

/// Guarantees: reads are retried after temporary errors up to the limit. Operations are sent once.
#[tokio::test]
async fn only_reads_are_retried() {
    let away = || Reply::Whole(http("503 Service Unavailable", "", r#"{"errors":["Leader election."]}"#));
    let gone = || Reply::Whole(http("404 Not Found", "", r#"{"errors":["Job abc not found"]}"#));
    let after = |count, first: Reply| Reply::Then(count, Box::new(first), Box::new(json(OVERVIEW)));
    for (reply, retries, expected, asked) in [
        (after(2, away()), 2, true, 3),
        (after(2, away()), 1, false, 2),
        (after(1, away()), 0, false, 1),
        (after(1, gone()), 2, false, 1),
        (after(1, Reply::Cut(String::new())), 1, true, 2),
    ] {
        let server = Server::start(reply).await;
        let client = server.client().retries(retries).build().unwrap();
        assert_eq!(client.call(&JobsOverview).await.is_ok(), expected);
        assert_eq!(server.request_lines().len(), asked);
    }
    let server = Server::start(away()).await;
    let client = server.client().retries(3).build().unwrap();
    let job = JobId::new("abc").unwrap();
    assert!(client.call(&CancelJob::new(job.clone())).await.is_err());
    assert!(client.call(&YarnCancelJob { job: job.clone() }).await.is_err());
    assert!(client.run(&TriggerSavepoint::new(job), Duration::from_secs(60)).await.is_err());
    let expected =
        ["PATCH /jobs/abc HTTP/1.1", "GET /jobs/abc/yarn-cancel HTTP/1.1", "POST /jobs/abc/savepoints HTTP/1.1"];
    assert_eq!(server.request_lines(), expected);
}

/// Scenario: a server closes each connection when it gets a second request on it.
/// Guarantees: a read on a kept connection is sent once more, on a new connection. An operation is
/// sent once.
#[tokio::test]
async fn read_on_a_closed_kept_connection_is_repeated() {
    let job = JobId::new("abc").unwrap();
    let once = || Reply::Once(http("200 OK", "", OVERVIEW));
    for tls in [None, Some(authority())] {
        let config = tls.as_ref().map(|authority| server_tls(authority, false));
        let server = Server::start_with(once(), config).await;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut builder = Client::builder(&format!("{scheme}://{}", server.address));
        if let Some(authority) = &tls {
            builder = builder.ca_certificates(authority.certificate.as_str());
        }
        let client = builder.build().unwrap();
        for asked in [1, 3, 5, 7] {
            client.call(&JobsOverview).await.unwrap();
            assert_eq!(server.request_lines().len(), asked);
        }
        client.get_raw("/jobs/overview").await.unwrap();
        assert_eq!(server.request_lines().len(), 9);

        let error = client.call(&YarnCancelJob { job: job.clone() }).await.unwrap_err();
        assert!(matches!(error, Error::Transport { .. }), "{error}");
        client.call(&JobsOverview).await.unwrap();
        client.get_raw("/jobs/abc/yarn-cancel").await.unwrap_err();
        client.call(&JobsOverview).await.unwrap();
        client.call(&CancelJob::new(job.clone())).await.unwrap_err();
        let expected = [
            "GET /jobs/abc/yarn-cancel HTTP/1.1",
            "GET /jobs/overview HTTP/1.1",
            "GET /jobs/abc/yarn-cancel HTTP/1.1",
            "GET /jobs/overview HTTP/1.1",
            "PATCH /jobs/abc HTTP/1.1",
        ];
        assert_eq!(server.request_lines()[9..], expected);
    }
}

/// Waits until that many connections have ended, by the client or by the server, and the runtime
/// knows it.
async fn wait_for_ends(server: &Server, count: usize) {
    let ended = async {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if server.ended.load(Ordering::Relaxed) >= count {
                break;
            }
        }
    };
    timeout(Duration::from_secs(60), ended).await.unwrap();
}

/// Guarantees: requests one after the other share a connection, also through clones.
#[tokio::test]
async fn requests_share_a_connection() {
    let server = Server::start(json(OVERVIEW)).await;
    for (count, client) in server.clients().into_iter().enumerate() {
        let client = client.build().unwrap();
        for _ in 0..10 {
            client.clone().call(&JobsOverview).await.unwrap();
        }
        assert_eq!(server.connections.load(Ordering::Relaxed), count + 1);
    }
    wait_for_ends(&server, 2).await;
}

/// Guarantees: a connection that has been unused for 30 s is closed, and the next request opens
/// one.
#[tokio::test]
async fn unused_connection_is_closed() {
    let server = Server::start(json(OVERVIEW)).await;
    let client = server.client().build().unwrap();
    for ended in [1, 2] {
        client.call(&JobsOverview).await.unwrap();
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(29)).await;
        tokio::time::resume();
        client.call(&JobsOverview).await.unwrap();
        assert_eq!(server.connections.load(Ordering::Relaxed), ended);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(31)).await;
        tokio::time::resume();
        wait_for_ends(&server, ended).await;
    }
}

/// Scenario: a server closes each connection after a response.
/// Guarantees: no request is begun on it, so an operation succeeds on a new one.
#[tokio::test]
async fn operation_does_not_use_a_closed_connection() {
    let server = Server::start(Reply::Cut(http("202 Accepted", "", "{}"))).await;
    let client = server.client().build().unwrap();
    for ended in 1..4 {
        client.call(&CancelJob::new(JobId::new("abc").unwrap())).await.unwrap();
        wait_for_ends(&server, ended).await;
    }
}

/// Scenario: two requests are in flight at once, twice.
/// Guarantees: no more unused connections are kept than the limit says, so one is opened again.
#[tokio::test]
async fn unused_connections_are_kept_up_to_the_limit() {
    let text = http("200 OK", "content-type: application/json\r\n", OVERVIEW);
    let server = Server::start(Reply::Meet(Arc::new(Barrier::new(2)), text)).await;
    let client = server.client().max_idle_connections(1).build().unwrap();
    for _ in 0..2 {
        let (first, second) = tokio::join!(client.call(&JobsOverview), client.call(&JobsOverview));
        assert_eq!((first.unwrap().jobs.len(), second.unwrap().jobs.len()), (1, 1));
    }
    assert!(server.connections.load(Ordering::Relaxed) > 2);
}

/// Scenario: a server closes every connection without a response.
/// Guarantees: a read is repeated once at most, whether the broken connection was kept or new.
#[tokio::test]
async fn read_is_repeated_once_at_most() {
    let cut = Reply::Cut(String::new());
    let reply = Reply::Then(1, Box::new(json(OVERVIEW)), Box::new(cut));
    let server = Server::start(reply).await;
    let client = server.client().build().unwrap();
    client.call(&JobsOverview).await.unwrap();
    for asked in [3, 4] {
        let error = client.call(&JobsOverview).await.unwrap_err();
        assert!(matches!(error, Error::Transport { .. }), "{error}");
        assert_eq!(server.request_lines().len(), asked);
    }
}

/// Scenario: a proxy compresses the response of an error.
/// Guarantees: the error quotes the text; without a readable text it still has the status.
#[tokio::test]
async fn compressed_error_is_quoted_as_text() {
    let page = packed(br#"{"errors":["no upstream"]}"#);
    for (body, expected) in [(&page[..], "status 503: no upstream"), (&page[..12], "status 503"), (b"x", "status 503")]
    {
        let server = Server::start(Reply::Packed("503 Service Unavailable", body.to_vec())).await;
        let error = server.client().build().unwrap().call(&JobsOverview).await;
        assert_eq!(
            described(&server, error),
            (format!("http://HOST/jobs/overview: {expected}"), "temporary".to_owned())
        );
    }
}

/// Guarantees: an error of a proxy names it, without its credentials.
#[tokio::test]
async fn proxy_that_refuses_is_named() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for url in ["http://flink.invalid:8081", "https://flink.invalid:8081"] {
        let client = Client::builder(url).ca_certificates(authority().certificate);
        let client = client.proxy(format!("http://me:c4nary@{unused}/")).build().unwrap();
        let error = client.call(&JobsOverview).await.unwrap_err();
        assert!(matches!(error, Error::Connect { failure: ConnectFailure::Refused, .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.contains(&format!("through the proxy http://{unused}: ")), "{error}");
        assert!(!error.contains("c4nary"), "{error}");
    }
}

/// Guarantees: an error keeps all that Flink sent, but shows only one short line.
#[tokio::test]
async fn status_error_keeps_flinks_errors() {
    let trace = format!("org.apache.flink.X: c4nary\n\tat a.B{}", "\n\tat c.D".repeat(1000));
    let body = serde_json::json!({"errors": ["Internal server error.", trace]}).to_string();
    let server = Server::start(Reply::Whole(http("500 Internal Server Error", "", &body))).await;
    let error = server.client().build().unwrap().call(&JobsOverview).await.unwrap_err();
    assert!(format!("{error:?} {error}").len() < 1000);
    let Error::Status { problem, .. } = error else { panic!("{error}") };
    assert_eq!((problem.status(), problem.errors()), (500, &["Internal server error.".to_owned(), trace][..]));
}

#[tokio::test]
async fn connect_error_names_the_step() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let plain = Server::start(Reply::Cut("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned())).await;
    // A label of more than 63 bytes fails without a DNS request.
    let unknown = format!("http://{}.invalid:8081", "a".repeat(64));
    for (url, expected, temporary) in [
        (format!("http://{nobody}"), ConnectFailure::Refused, true),
        (unknown, ConnectFailure::Dns, true),
        (format!("https://{}", plain.address), ConnectFailure::Tls, false),
    ] {
        let client = Client::builder(&url).ca_certificates(authority().certificate).build().unwrap();
        let error = client.call(&JobsOverview).await.unwrap_err();
        assert!(matches!(&error, Error::Connect { failure, .. } if *failure == expected), "{error:?}");
        assert_eq!(error.is_temporary(), temporary, "{error}");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
}

#[tokio::test]
async fn ids_cannot_leave_their_segment() {
    let server = Server::start(json("{}")).await;
    let client = server.client().build().unwrap();
    let weird = |id: &str| JobId::new(id).unwrap();
    client.get(&Checkpoints { job: weird("../x%2F..\r\nHost: evil") }.into()).await.unwrap();
    client.get(&CheckpointDetails { job: weird("é?#&\\"), checkpoint: -1 }.into()).await.unwrap();
    for path in [
        "/jobs/../x",
        "/jobs/%2e%2E/x",
        "/jobs/a b",
        "/jobs\\x",
        "/jobs\n",
        "/jobs#x",
        "jobs",
        "@evil.example.com/",
        ":80/",
    ] {
        let error = client.get_raw(path).await.unwrap_err();
        assert!(matches!(error, Error::InvalidUrl { .. }), "{path}: {error}");
    }
    let expected = [
        "GET /jobs/%2E%2E%2Fx%252F%2E%2E%0D%0AHost%3A%20evil/checkpoints HTTP/1.1",
        "GET /jobs/%C3%A9%3F%23%26%5C/checkpoints/details/-1 HTTP/1.1",
    ];
    assert_eq!(server.request_lines(), expected);
}

#[tokio::test]
async fn secrets_are_sent_but_not_shown() {
    let server = Server::start(Reply::Whole(http("403 Forbidden", "", ""))).await;
    let basic = "authorization: Basic bWU6YzRuYXJ5OnNlY3JldA==";
    for (builder, expected) in [
        (server.client(), None),
        (server.client().basic_auth("me", "c4nary:secret"), Some(basic)),
        (Client::builder(&format!("http://me:c4nary%3Asecret@{}", server.address)), Some(basic)),
        (
            Client::builder(&format!("http://x:c4nary@{}", server.address)).basic_auth("me", "c4nary:secret"),
            Some(basic),
        ),
        (server.client().bearer_auth("c4nary"), Some("authorization: Bearer c4nary")),
    ] {
        let shown = format!("{builder:?}");
        let client = builder.build().unwrap();
        let error = client.call(&JobsOverview).await.unwrap_err();
        for shown in [shown, format!("{client:?}"), client.base_url().to_owned(), format!("{error} {error:?}")] {
            assert!(!shown.contains("c4nary"), "{shown}");
        }
        let requests = server.requests.lock().unwrap();
        let sent = requests.last().unwrap().lines().find(|line| line.starts_with("authorization"));
        assert_eq!(sent, expected);
    }
}

#[tokio::test]
async fn token_is_replaced_for_all_clones() {
    let server = Server::start(Reply::Whole(http("403 Forbidden", "", ""))).await;
    let client = server.client().bearer_auth("c4nary-1").build().unwrap();
    let clone = client.clone();
    let sent = async |client: &Client| {
        client.call(&JobsOverview).await.unwrap_err();
        let requests = server.requests.lock().unwrap();
        let lines: Vec<_> = requests.last().unwrap().lines().filter(|line| line.starts_with("authorization")).collect();
        lines.join("\n")
    };
    assert_eq!(sent(&clone).await, "authorization: Bearer c4nary-1");
    client.set_bearer_auth("c4nary-2").unwrap();
    assert_eq!(sent(&clone).await, "authorization: Bearer c4nary-2");
    let error = client.set_bearer_auth("c4nary\n").unwrap_err().to_string();
    assert!(error.starts_with("bearer_auth: ") && !error.contains("c4nary"), "{error}");
    assert_eq!(sent(&client).await, "authorization: Bearer c4nary-2");
    assert!(!format!("{client:?}").contains("c4nary"));
}

#[test]
fn invalid_options_are_errors() {
    let local = || Client::builder("http://localhost:8081");
    for (builder, expected) in [
        (Client::builder(""), "invalid URL : expected http:// or https://"),
        (
            Client::builder("localhost:8081"),
            "invalid URL localhost:8081: expected http:// or https:// in front of it, did you mean http://localhost:8081?",
        ),
        (
            Client::builder("127.0.0.1:8081/x"),
            "invalid URL 127.0.0.1:8081/x: expected http:// or https:// in front of it, did you mean http://127.0.0.1:8081/x?",
        ),
        (
            Client::builder("http://[::1:8081"),
            "invalid URL http://[::1:8081: invalid IPv6 address, expected [address]:port",
        ),
        (Client::builder("http://a host:8081"), "invalid URL http://a host:8081: expected no blanks"),
        (
            Client::builder("me:c4nary@host:8081"),
            "invalid URL ******@host:8081: expected http:// or https:// in front of it, did you mean http://******@host:8081?",
        ),
        (Client::builder("ftp://host"), "invalid URL ftp://host: expected http:// or https://"),
        (Client::builder("http://me:c4nary@"), "invalid URL http://******@: empty host"),
        (Client::builder("http://host/?token=c4nary"), "invalid URL http://host/: expected neither ? nor #"),
        (
            Client::builder("http://host:99999"),
            "invalid URL http://host:99999: invalid port number, expected 1 to 65535",
        ),
        (
            Client::builder("http://%ff:c4nary@host"),
            "invalid URL http://******@host: expected a user and a password in UTF-8",
        ),
        (local().bearer_auth("c4nary\n"), "bearer_auth: the token has a character that is not allowed in a header"),
        (local().user_agent("a\nb"), "user_agent: failed to parse header value"),
        (local().proxy("http://me:c4nary@"), "proxy: expected the URL of a proxy, found http://******@: empty host"),
        (local().ca_certificates("c4nary"), "ca_certificates: expected at least one certificate"),
        (local().ca_certificates(""), "ca_certificates: expected at least one certificate"),
        (local().identity("c4nary"), "identity: no items found"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains("c4nary"), "{error:?}");
        assert!(!error.is_temporary());
    }
}

#[tokio::test]
async fn environment_proxy_is_ignored() {
    let proxy = Server::start(json(OVERVIEW)).await;
    let client = Client::builder("http://flink.invalid:8081/x").proxy(proxy.url()).build().unwrap();
    client.call(&JobsOverview).await.unwrap();
    assert_eq!(proxy.request_lines(), ["GET http://flink.invalid:8081/x/jobs/overview HTTP/1.1"]);
}

/// Guarantees: a proxy gets its credentials, even before TLS, and no other server does.
#[tokio::test]
async fn proxy_credentials_go_only_to_the_proxy() {
    let refuses = Reply::Whole(http("407 Proxy Authentication Required", "", ""));
    for (url, reply, answered, request) in [
        ("http://flink.invalid:8081", json(OVERVIEW), true, "GET http://flink.invalid:8081/jobs/overview HTTP/1.1"),
        ("https://flink.invalid:8081", refuses, false, "CONNECT flink.invalid:8081 HTTP/1.1"),
    ] {
        let proxy = Server::start(reply).await;
        let builder = Client::builder(url).proxy(format!("http://me:c4nary@{}", proxy.address));
        let shown = format!("{builder:?}");
        let client = builder.ca_certificates(authority().certificate).build().unwrap();
        let result = client.call(&JobsOverview).await;
        assert_eq!(result.is_ok(), answered, "{result:?}");
        for shown in [shown, format!("{client:?} {result:?}")] {
            assert!(!shown.contains("c4nary"), "{shown}");
        }
        if let Err(error) = result {
            assert!(matches!(&error, Error::Connect { failure: ConnectFailure::Other, .. }), "{error:?}");
        }
        assert_eq!(proxy.request_lines(), [request]);
        let requests = proxy.requests.lock().unwrap();
        let head = requests[0].to_ascii_lowercase();
        assert!(head.contains("proxy-authorization: basic bwu6yzruyxj5"), "{requests:?}");
    }
}

/// An endpoint that this crate lacks, with an unusual method.
struct ForgetJob(JobId);

impl Endpoint for ForgetJob {
    const METHOD: &'static str = "PURGE";
    const PATH: &'static str = "/jobs/:jobid";
    type Response = serde_json::Value;

    fn parameters(&self) -> Vec<String> {
        vec![self.0.to_string()]
    }

    fn from_parameters(parameters: &mut Parameters<'_>) -> Result<Self, InvalidParameter> {
        parameters.take().map(Self)
    }
}

#[tokio::test]
async fn custom_endpoint_is_called() {
    let server = Server::start(Reply::Whole(http("202 Accepted", "", "{}"))).await;
    let client = server.client().build().unwrap();
    client.call(&ForgetJob(JobId::new("abc").unwrap())).await.unwrap();
    assert_eq!(server.request_lines(), ["PURGE /jobs/abc HTTP/1.1"]);
}

/// A certificate authority, with a certificate and a key for 127.0.0.1.
struct Authority {
    certificate: String,
    identity: String,
}

fn authority() -> Authority {
    let mut authority = CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    Authority { certificate, identity: format!("{}{}", leaf.pem(), key.serialize_pem()) }
}

fn server_tls(authority: &Authority, client_certificates: bool) -> ServerConfig {
    let provider = Arc::new(crypto::ring::default_provider());
    let certificates = |pem: &str| {
        tokio_rustls::rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .unwrap()
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(&authority.certificate));
    let config = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let config = if client_certificates {
        config.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
        )
    } else {
        config.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_slice(authority.identity.as_bytes()).unwrap();
    config.with_single_cert(certificates(&authority.identity), key).unwrap()
}

/// Scenario: a self-signed certificate, as `openssl req -x509` makes it by default, is that of an
/// authority.
/// Guarantees: the error says what is wrong with it.
#[tokio::test]
async fn certificate_of_an_authority_is_named() {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let identity = format!("{certificate}{}", key.serialize_pem());
    let authority = Authority { certificate, identity };
    let server = Server::start_with(json(OVERVIEW), Some(server_tls(&authority, false))).await;
    let builder = Client::builder(&format!("https://{}", server.address));
    let client = builder.ca_certificates(authority.certificate.as_str()).build().unwrap();
    let error = client.call(&JobsOverview).await.unwrap_err();
    assert!(matches!(error, Error::Connect { failure: ConnectFailure::Tls, .. }), "{error:?}");
    assert!(error.to_string().ends_with("certificate is that of an authority, expected one with CA:FALSE"), "{error}");
}

/// Scenario: a server has a certificate of a private authority and may require a client
/// certificate.
/// Guarantees: a client that trusts the authority and has the certificate gets a response. Any
/// other gets a TLS error.
#[tokio::test]
async fn tls_needs_trusted_certificates() {
    let (ours, theirs) = (authority(), authority());
    for (asks, trusted, shown, answered) in [
        (false, &ours, None, true),
        (false, &theirs, None, false),
        (true, &ours, Some(&ours), true),
        (true, &ours, Some(&theirs), false),
        (true, &ours, None, false),
    ] {
        let server = Server::start_with(json(OVERVIEW), Some(server_tls(&ours, asks))).await;
        let url = format!("https://{}", server.address);
        let mut builder = Client::builder(&url).ca_certificates(trusted.certificate.as_str());
        if let Some(authority) = shown {
            builder = builder.identity(authority.identity.as_str());
        }
        let result = builder.build().unwrap().call(&JobsOverview).await;
        match &result {
            Ok(_) => assert!(answered),
            Err(Error::Connect { failure, .. }) => assert!(!answered && *failure == ConnectFailure::Tls, "{result:?}"),
            Err(error) => panic!("{error}"),
        }
    }
}
