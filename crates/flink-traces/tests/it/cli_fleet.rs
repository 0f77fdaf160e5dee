//! `run` with several clusters: their options, reloads, shards and discovery.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

use crate::cli_metrics::{address, wait_for_page};
use crate::support::LONG;
use crate::support::flink::{FakeFlink, Port, Reply};
use crate::support::process::{Place, Running, command};
use crate::support::session::{self, EVENTS, SPANS};
use flink_traces_testkit::OtlpCollector;

const SUBTASKS: &str = "-Dtraces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK";
const OFTEN: &str = "-Dflink-traces.poll-interval=20 ms";
const LOOK_OFTEN: &str = "-Dflink-traces.discovery.interval=100 ms";
const METRICS: &str = "-Dflink-traces.metrics.listen=0";
const OVERVIEW: &str = "/jobs/overview";

fn start(place: &Place, collector: &OtlpCollector, arguments: &[&str]) -> Running {
    let endpoint = collector.grpc_endpoint();
    place.start(&[&["run", "--otlp", &endpoint, SUBTASKS, OFTEN], arguments].concat())
}

/// Returns the names of the clusters whose checkpoints have arrived.
fn clusters(collector: &OtlpCollector) -> BTreeSet<String> {
    let name = |attributes: &std::collections::BTreeMap<String, serde_json::Value>| {
        attributes.get("flink.cluster.name").and_then(|name| name.as_str().map(str::to_owned))
    };
    let spans = collector.spans();
    spans.iter().filter(|span| span.name() == "Checkpoint").filter_map(|span| name(&span.attributes())).collect()
}

fn wait_for_clusters(collector: &OtlpCollector, expected: &[&str]) {
    let arrived =
        collector.wait_until(LONG, |collector| expected.iter().all(|name| clusters(collector).contains(*name)));
    assert!(arrived, "expected {expected:?}, found {:?}", clusters(collector));
}

fn stop(running: Running) -> String {
    running.signal("TERM");
    running.finish().expect_code(0).stderr
}

/// Scenario: one cluster takes 10 s for each response. Guarantees: another is polled and reported
/// as if it were alone, and the slow one is watched, too.
#[test]
fn slow_cluster_delays_no_other() {
    let (place, collector) = (Place::new(), OtlpCollector::start().unwrap());
    let mut answers = session::answers();
    for reply in answers.values_mut() {
        if let Reply::Flink(status, body) = reply {
            *reply = Reply::Late(Duration::from_secs(10), *status, std::mem::take(body));
        }
    }
    let (slow, quick) = (FakeFlink::start(answers), FakeFlink::start(session::answers()));
    let flink = [format!("slow={}", slow.url()), format!("quick={}", quick.url())];
    let timeout = "-Dflink-traces.rest.timeout=1 min";
    let running = start(&place, &collector, &["--flink", &flink[0], "--flink", &flink[1], timeout]);
    slow.wait_for_requests(OVERVIEW, 1);
    assert!(collector.wait_until(LONG, |collector| collector.spans().len() == SPANS), "{}", collector.spans().len());
    quick.ignore_requests();
    quick.wait_for_requests(OVERVIEW, 50);
    // All of that happened before the first response of the slow cluster.
    assert_eq!(slow.requests(OVERVIEW), 1);
    running.wait_for_stderr("watching cluster=\"slow\"");
    running.signal("TERM");
    running.finish().expect_code(0);
}

/// Scenario: of the two JobManagers of a cluster, the first is away, and later the second.
/// Guarantees: the one that answers is used, and everything is reported once.
#[test]
fn job_manager_that_answers_is_used() {
    let (place, collector) = (Place::new(), OtlpCollector::start().unwrap());
    let first = Port::reserve();
    let second = FakeFlink::start(session::answers());
    let flink = format!("ha={},{}", first.url(), second.url());
    let running = start(&place, &collector, &["--flink", &flink]);
    assert!(collector.wait_until(LONG, |collector| collector.spans().len() == SPANS));
    assert!(collector.wait_until(LONG, |collector| collector.events().len() == EVENTS));
    running.wait_for_stderr(&format!("address=\"{}\"", second.url()));
    let first = first.start_flink(session::answers());
    second.ignore_requests();
    second.wait_for_requests(OVERVIEW, 10);
    assert_eq!(first.requests(OVERVIEW), 0, "the first was asked while the second answered");
    drop(second);
    first.wait_for_requests(OVERVIEW, 10);
    let stderr = stop(running);
    assert_eq!(stderr.matches("another JobManager responds").count(), 2, "{stderr}");
    assert_eq!(stderr.matches("no response").count(), 0, "{stderr}");
    assert_eq!((collector.spans().len(), collector.events().len()), (SPANS, EVENTS));
}

/// Scenario: two teams with a cluster and reporters of their own, below one configuration.
/// Guarantees: each gets its cluster, with the cluster's resource, also in one request with others.
#[test]
fn clusters_have_reporters_and_resources_of_their_own() {
    let place = Place::new();
    let [of_a, of_b, of_all] = [(); 3].map(|()| OtlpCollector::start().unwrap());
    let flink = FakeFlink::start(session::answers());
    let reporter = |signal: &str, name: &str, collector: &OtlpCollector, clusters: &str| {
        let class = match signal {
            "traces" => "org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory",
            _ => "org.apache.flink.events.otel.OpenTelemetryEventReporterFactory",
        };
        let prefix = format!("{signal}.reporter.{name}");
        let endpoint = collector.grpc_endpoint();
        format!(
            "{prefix}.factory.class: {class}\n{prefix}.exporter.endpoint: {endpoint}\n{prefix}.clusters: \"{clusters}\"\n\
             {prefix}.service.name: of-reporter\n{prefix}.service.version: \"7\"\n"
        )
    };
    let url = flink.url();
    let mut configuration = format!(
        "flink-traces:\n  poll-interval: 20 ms\n  clusters:\n    team-a:\n      url: {url}\n      service-name: orders\n      \
         resource-attributes:\n        deployment.environment.name: prod\n        team: a\n    team-b: {url}\n"
    );
    for signal in ["traces", "events"] {
        configuration += &reporter(signal, "a", &of_a, "*-a");
        configuration += &reporter(signal, "b", &of_b, "x, team-b");
        configuration += &reporter(signal, "all", &of_all, "*");
    }
    place.write("config.yaml", configuration);
    let running = place.start(&["run", "--conf", "config.yaml", SUBTASKS]);
    for (collector, times) in [(&of_a, 1), (&of_b, 1), (&of_all, 2)] {
        let all = |collector: &OtlpCollector| {
            collector.spans().len() == times * SPANS && collector.events().len() == times * EVENTS
        };
        assert!(collector.wait_until(LONG, all), "{} {}", collector.spans().len(), collector.events().len());
    }
    running.signal("TERM");
    running.finish().expect_code(0);
    assert_eq!(clusters(&of_a), BTreeSet::from(["team-a".to_owned()]));
    assert_eq!(clusters(&of_b), BTreeSet::from(["team-b".to_owned()]));
    for (collector, a, b) in [(&of_a, 1, 0), (&of_b, 0, 1), (&of_all, 1, 1)] {
        let spans: Vec<_> = collector.spans().iter().map(|span| span.resource().clone()).collect();
        let events: Vec<_> = collector.events().iter().map(|event| event.resource().clone()).collect();
        for (resources, of_one) in [(spans, SPANS), (events, EVENTS)] {
            let (mut of_a, mut of_b) = (0, 0);
            for resource in resources {
                assert_eq!(resource["service.version"], "7");
                if resource.contains_key("team") {
                    assert_eq!((&resource["service.name"], &resource["team"]), (&"orders".into(), &"a".into()));
                    assert_eq!(resource["deployment.environment.name"], "prod");
                    of_a += 1;
                } else {
                    assert_eq!(resource["service.name"], "of-reporter");
                    of_b += 1;
                }
            }
            assert_eq!((of_a, of_b), (a * of_one, b * of_one));
        }
    }
}

/// The files of a certificate authority, of a server and of a client, in PEM.
struct Certificates {
    authority: String,
    certificate: String,
    key: String,
}

fn certificates() -> Certificates {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    Certificates { authority: certificate, certificate: leaf.pem(), key: key.serialize_pem() }
}

/// Starts a TLS endpoint in front of a cluster, which requires a client certificate. Returns its
/// URL.
fn start_mutual_tls(certificates: &Certificates, flink: &FakeFlink) -> String {
    let provider = Arc::new(crypto::ring::default_provider());
    let der = |pem: &str| CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(der(&certificates.authority));
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificates.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_client_cert_verifier(verifier).with_single_cert(der(&certificates.certificate), key);
    let (acceptor, target) = (TlsAcceptor::from(Arc::new(config.unwrap())), flink.address());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut inner = tokio::net::TcpStream::connect(target).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut inner).await;
                });
            }
        });
    });
    url
}

/// Guarantees: a cluster that requires a client certificate gets it, and a token that is replaced
/// in its file is sent without a restart.
#[test]
fn cluster_gets_client_certificate_and_token() {
    let (place, collector) = (Place::new(), OtlpCollector::start().unwrap());
    let (certificates, flink) = (certificates(), FakeFlink::start(session::answers()));
    let url = start_mutual_tls(&certificates, &flink);
    place.write("ca.pem", &certificates.authority);
    place.write("cert.pem", &certificates.certificate);
    place.write("key.pem", &certificates.key);
    place.write("token", "c4nary-1\n");
    let option = |key: &str, value: &str| format!("-Dflink-traces.clusters.secure.{key}={value}");
    let trusting = [option("url", &url), option("ca-certificates", "ca.pem")];
    let refused = place.run(&["check", &trusting[0], &trusting[1]]).expect_code(69);
    assert!(refused.stdout.contains("  FAILED  cluster secure: "), "{refused:?}");

    let rest = [
        option("client-certificate", "cert.pem"),
        option("client-key", "key.pem"),
        option("bearer-token-file", "token"),
    ];
    let arguments: Vec<_> = trusting.iter().chain(&rest).map(String::as_str).collect();
    let checked = place.run(&[&["check"], &arguments[..]].concat()).expect_code(0);
    assert!(checked.stdout.contains(&format!("cluster secure: Flink 2.3.0 at {url}")), "{checked:?}");
    assert!(!checked.stdout.contains("key.pem"), "{checked:?}");

    let running = start(&place, &collector, &arguments);
    wait_for_clusters(&collector, &["secure"]);
    assert!(flink.authorizations().iter().all(|sent| sent.as_deref() == Some("Bearer c4nary-1")));
    place.write("token", "c4nary-2\n");
    let has_new = || flink.authorizations().last().cloned().flatten().as_deref() == Some("Bearer c4nary-2");
    while !has_new() {
        flink.ignore_requests();
        flink.wait_for_requests(OVERVIEW, 1);
    }
    // Without a file, the last token stays in use.
    std::fs::remove_file(place.path("token")).unwrap();
    running.wait_for_stderr("no token in the file, using the last one");
    flink.ignore_requests();
    flink.wait_for_requests(OVERVIEW, 10);
    assert!(flink.authorizations().iter().all(|sent| sent.as_deref() == Some("Bearer c4nary-2")));
    assert!(!stop(running).contains("c4nary"));
}

/// Guarantees: a limit of requests holds, and everything is still reported.
#[test]
fn requests_per_second_are_limited() {
    let (place, collector) = (Place::new(), OtlpCollector::start().unwrap());
    let flink = FakeFlink::start(session::answers());
    let limited = format!("-Dflink-traces.clusters.limited.url={}", flink.url());
    let limit = "-Dflink-traces.clusters.limited.requests-per-second=20";
    let started = std::time::Instant::now();
    let running = start(&place, &collector, &[&limited, limit]);
    assert!(collector.wait_until(LONG, |collector| collector.spans().len() == SPANS), "{}", collector.spans().len());
    flink.wait_for_requests(OVERVIEW, 20);
    let most = 20.0 + 20.0 * started.elapsed().as_secs_f64();
    // The first contact asks three times more.
    let sent = flink.authorizations().len() as f64;
    assert!(sent <= most + 3.0, "{sent} requests, at most {most}");
    stop(running);
}

/// Scenario: the file gets other clusters, is then broken, and then changes what needs a restart.
/// Guarantees: a reload adds, changes and removes clusters, or nothing at all.
#[test]
fn reload_applies_all_changes_of_clusters_or_none() {
    let (place, collector) = (Place::new(), OtlpCollector::start().unwrap());
    let flinks = [(); 3].map(|()| FakeFlink::start(session::answers()));
    let [a, b, c] = &flinks;
    let clusters = |lines: &[&str]| {
        let all: String = lines.iter().map(|line| format!("flink-traces.clusters.{line}\n")).collect();
        // Only the signal reloads.
        all + "flink-traces.discovery.interval: 1 h\n"
    };
    let [at_a, at_b, at_c] = [("a", a), ("b", b), ("c", c)].map(|(name, flink)| format!("{name}: {}", flink.url()));
    place.write("config.yaml", clusters(&[&at_a, &at_b]));
    let running = start(&place, &collector, &["--conf", "config.yaml", METRICS]);
    let address = address(&running);
    wait_for_clusters(&collector, &["a", "b"]);
    let gauge = |name: &str| format!("flink_traces_config_last_reload_{name}");
    let page = wait_for_page(&address, |page| page["flink_traces_clusters"] == 2);
    let (successful, succeeded_at) = (gauge("successful"), gauge("success_timestamp_seconds"));
    assert!(page[&successful] == 1 && page[&succeeded_at] > 1_700_000_000, "{page:?}");

    // `a` goes, `b` gets another address, `c` comes.
    let b_at_c = format!("b: {}", c.url());
    place.write("config.yaml", clusters(&[&b_at_c, &at_c]));
    running.signal("HUP");
    running.wait_for_stderr("configuration reloaded added=1 changed=1 removed=1");
    wait_for_clusters(&collector, &["c"]);
    for gone in [a, b] {
        gone.ignore_requests();
    }
    c.ignore_requests();
    c.wait_for_requests(OVERVIEW, 40);
    assert!(b.requests(OVERVIEW) <= 1, "{}", b.requests(OVERVIEW));
    let up = |name: &str| format!("flink_traces_cluster_up{{cluster=\"{name}\"}}");
    let page = wait_for_page(&address, |page| page.get(&up("c")) == Some(&1));
    assert!(!page.contains_key(&up("a")) && page.keys().all(|name| !name.contains("cluster=\"a\"")), "{page:?}");

    // A broken file changes nothing, although one of its clusters is new.
    place.write("config.yaml", clusters(&[&at_a, "d: nowhere"]));
    running.signal("HUP");
    let said = running.wait_for_stderr("configuration not reloaded");
    assert!(said.contains("flink-traces.clusters.d: invalid URL nowhere"), "{said}");
    let failed = wait_for_page(&address, |page| page[&successful] == 0);
    assert_eq!(failed["flink_traces_clusters"], 2);
    assert_eq!(failed[&succeeded_at], page[&succeeded_at]);

    // Another option needs a restart, but the clusters are applied.
    place.write("config.yaml", clusters(&[&at_c]) + "flink-traces.shutdown-timeout: 3 s\n");
    running.signal("HUP");
    running.wait_for_stderr("configuration reloaded added=0 changed=0 removed=1");
    running.wait_for_stderr("changed options take effect after a restart options=\"flink-traces.shutdown-timeout\"");
    wait_for_page(&address, |page| page[&successful] == 1 && page["flink_traces_clusters"] == 1);
    let all = collector.wait_until(LONG, |collector| collector.spans().len() >= 3 * SPANS);
    stop(running);
    // What was known of `b` stayed known when it got another address.
    assert!(all && collector.spans().len() == 3 * SPANS, "{}", collector.spans().len());
}

/// Guarantees: a change of the file is noticed without a signal.
#[test]
fn changed_file_is_reloaded() {
    let (place, collector) = (Place::new(), OtlpCollector::start().unwrap());
    let flink = FakeFlink::start(session::answers());
    let cluster = |name: &str| format!("flink-traces.clusters.{name}: {}\n", flink.url());
    place.write("conf/config.yaml", cluster("a"));
    let running = start(&place, &collector, &["--conf", "conf", LOOK_OFTEN]);
    wait_for_clusters(&collector, &["a"]);
    place.write("conf/config.yaml", cluster("a") + &cluster("b"));
    running.wait_for_stderr("configuration reloaded added=1 changed=0 removed=0");
    wait_for_clusters(&collector, &["a", "b"]);
    stop(running);
}

/// Scenario: a cluster is removed and added again before its watcher has ended. Guarantees: the
/// second watcher waits for the first, and reports the same records.
#[test]
fn removed_cluster_comes_back() {
    let (place, collector) = (Place::new(), OtlpCollector::start().unwrap());
    let flinks = [(); 2].map(|()| FakeFlink::start(session::answers()));
    let [a, b] = flinks.each_ref().map(FakeFlink::url);
    let with = format!("flink-traces.clusters.a: {a}\nflink-traces.clusters.b: {b}\n");
    let without = format!("flink-traces.clusters.b: {b}\n");
    place.write("config.yaml", &with);
    let running = start(&place, &collector, &["--conf", "config.yaml"]);
    wait_for_clusters(&collector, &["a", "b"]);
    place.write("config.yaml", &without);
    running.signal("HUP");
    running.wait_for_stderr("configuration reloaded added=0 changed=0 removed=1");
    place.write("config.yaml", &with);
    running.signal("HUP");
    running.wait_for_stderr("configuration reloaded added=1 changed=0 removed=0");
    assert!(collector.wait_until(LONG, |collector| collector.spans().len() == 3 * SPANS));
    stop(running);
    let ids = collector
        .spans()
        .iter()
        .map(|span| (span.trace_id().to_vec(), span.span_id().to_vec()))
        .collect::<BTreeSet<_>>();
    assert_eq!(ids.len(), 2 * SPANS);
}

/// Guarantees: shards watch each cluster once, and say how many others there are.
#[test]
fn shards_divide_the_clusters() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let names: Vec<_> = (0..12).map(|number| format!("cluster-{number}")).collect();
    let configuration: String =
        names.iter().map(|name| format!("flink-traces.clusters.{name}: {}\n", flink.url())).collect();
    place.write("config.yaml", configuration);
    let mut all = Vec::new();
    for number in 0..3 {
        let collector = OtlpCollector::start().unwrap();
        let endpoint = collector.grpc_endpoint();
        let arguments =
            ["run", "--conf", "config.yaml", "--otlp", &endpoint, OFTEN, METRICS, "--shards", "3", "--shard"];
        // One number is given, the others follow from the host name, as in a StatefulSet.
        let given = number.to_string();
        let running = if number == 0 {
            place.start(&[&arguments[..], &[&given]].concat())
        } else {
            let mut command = command(&place.path(""), &arguments[..arguments.len() - 1]);
            command.env("HOSTNAME", format!("flink-traces-{number}"));
            Running::start(command)
        };
        let known = |page: &BTreeMap<String, u64>| {
            page["flink_traces_clusters"] + page["flink_traces_clusters_of_other_shards"]
        };
        let page = wait_for_page(&address(&running), |page| known(page) == 12);
        assert_eq!((page["flink_traces_shard"], page["flink_traces_shards"]), (number, 3));
        let own = page["flink_traces_clusters"];
        assert!(collector.wait_until(LONG, |collector| clusters(collector).len() as u64 == own));
        stop(running);
        assert_eq!(clusters(&collector).len() as u64, own);
        all.extend(clusters(&collector));
    }
    all.sort();
    let mut expected = names;
    expected.sort();
    assert_eq!(all, expected);

    for (arguments, expected) in [
        (&["--shards", "3", "--shard", "3"][..], "shard 3 does not exist"),
        (&["--shards", "0"], "--shards"),
        (&["--shard", "1"], "--shards"),
    ] {
        let refused = place.run(&[&["run", "--conf", "config.yaml"], arguments].concat());
        assert!(refused.code != Some(0) && refused.stderr.contains(expected), "{refused:?}");
    }
}

/// Guarantees: clusters in the files of a directory and at the addresses of a name are watched, and
/// follow the changes.
#[test]
fn directory_and_names_are_watched() {
    let (place, collector) = (Place::new(), OtlpCollector::start().unwrap());
    let flink = FakeFlink::start(session::answers());
    std::fs::create_dir(place.path("clusters")).unwrap();
    let port = flink.address().port();
    let dns = format!("-Dflink-traces.discovery.dns=http://localhost:{port}");
    let directory = "-Dflink-traces.discovery.directory=clusters";
    let running = start(&place, &collector, &[directory, &dns, LOOK_OFTEN, METRICS]);
    let at_name = format!("127.0.0.1:{port}");
    wait_for_clusters(&collector, &[&at_name]);
    place.write("clusters/team-a.yaml", format!("url: {}\nservice-name: team-a\n", flink.url()));
    wait_for_clusters(&collector, &[&at_name, "team-a"]);
    let spans = collector.spans();
    let of_team = spans.iter().filter(|span| span.resource()["service.name"] == "team-a").count();
    assert!(of_team > 0);
    let address = address(&running);
    let count = |source: &str| format!("flink_traces_discovery_clusters{{source=\"{source}\"}}");
    wait_for_page(&address, |page| page[&count("directory")] == 1 && page[&count("dns")] >= 1);
    place.write("clusters/team-a.yaml", "url: broken\n");
    running.wait_for_stderr("clusters/team-a.yaml:1:1: url: invalid URL broken");
    std::fs::remove_file(place.path("clusters/team-a.yaml")).unwrap();
    wait_for_page(&address, |page| page[&count("directory")] == 0);
    let up = |source: &str| format!("flink_traces_discovery_up{{source=\"{source}\"}}");
    std::fs::remove_dir(place.path("clusters")).unwrap();
    wait_for_page(&address, |page| page[&up("directory")] == 0 && page[&up("dns")] == 1);
    stop(running);

    let checked = place.run(&["check", &dns]).expect_code(0);
    assert!(checked.stdout.contains("  ok      discovery dns: "), "{checked:?}");
    assert!(checked.stdout.contains(&format!("cluster {at_name}: Flink 2.3.0")), "{checked:?}");
    let refused = place.run(&["run", "-Dflink-traces.discovery.dns=localhost"]).expect_code(78);
    assert!(refused.stderr.contains("flink-traces.discovery.dns: 'localhost' is not a URL"), "{refused:?}");
}
