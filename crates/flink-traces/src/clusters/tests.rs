//! Tests of the forms in which clusters are written.

use std::time::Duration;

use flink_traces_runtime::config::SpanDetailLevel;

use super::*;

fn read(pairs: &[(&str, &str)]) -> (Vec<Cluster>, Vec<String>) {
    let configuration = Configuration::from_pairs(pairs.iter().copied());
    let mut problems = Vec::new();
    let defaults = ClusterOptions::read(&configuration, &mut problems);
    let clusters = clusters(&configuration, &defaults, &[], &mut problems);
    (clusters, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn page_of_the_web_ui_is_cut_off() {
    for (url, expected) in [
        ("http://host:8081/#/overview", Some("http://host:8081")),
        ("https://host/flink/#/job/running", Some("https://host/flink")),
        ("http://host:8081#/", Some("http://host:8081")),
        ("http://host:8081", None),
        ("http://host:8081/#x", None),
        ("http://me:se#/cret@host", None),
    ] {
        assert_eq!(without_page(url), expected, "{url}");
    }
}

#[test]
fn plain_text_lists_clusters() {
    for (text, expected) in [
        ("prod:http://a:8081, test: https://b", Some(vec![("prod", "http://a:8081"), ("test", "https://b")])),
        ("http://a:8081,b:http://b", Some(vec![("", "http://a:8081"), ("b", "http://b")])),
        ("prod:'http://a:8081'", None),
        ("{prod: http://a:8081}", None),
        ("prod:a:8081", None),
        ("", None),
    ] {
        let found = plain_clusters(text);
        let found: Option<Vec<_>> = found
            .as_ref()
            .map(|found| found.iter().map(|(name, url)| (name.as_deref().unwrap_or_default(), url.as_str())).collect());
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn cluster_name_is_given_or_is_the_address() {
    let (defaults, mut problems) = (ClusterOptions::read(&Configuration::default(), &mut Vec::new()), Vec::new());
    for (argument, name, host, urls) in [
        ("prod=https://flink.example.com", "prod", "flink.example.com", 1),
        ("http://localhost:8081", "localhost:8081", "localhost", 1),
        ("http://me:secret@proxy/flink-a/", "proxy/flink-a", "proxy", 1),
        ("http://[::1]:8081", "[::1]:8081", "[::1]", 1),
        ("v6=http://[::1]", "v6", "[::1]", 1),
        ("ha=http://a:8081,http://b:8081", "ha", "a", 2),
        ("http://a/x,y", "a/x,y", "a", 1),
    ] {
        let found = clusters(&Configuration::default(), &defaults, &[argument.to_owned()], &mut problems);
        let [cluster] = &found[..] else { panic!("{argument}: {problems:?}") };
        let connection = Connection::open(cluster.clone()).unwrap();
        assert_eq!((cluster.name.as_str(), connection.host(), cluster.urls.len()), (name, host, urls), "{argument}");
    }
}

#[test]
fn cluster_has_options_of_its_own() {
    let (clusters, problems) = read(&[
        ("flink-traces.rest.timeout", "5 s"),
        ("flink-traces.rest.bearer-token", "global"),
        ("flink-traces.clusters.a", "http://a:8081"),
        ("flink-traces.clusters.b.url", "http://b1:8081, http://b2:8081"),
        ("flink-traces.clusters.b.poll-interval", "3 s"),
        ("flink-traces.clusters.b.basic-auth", "me:secret"),
        ("flink-traces.clusters.b.requests-per-second", "0.5"),
        ("flink-traces.clusters.b.timeout", "1 s"),
        ("flink-traces.clusters.b.checkpoint.span-detail-level", "children_spans_per_task"),
        ("flink-traces.clusters.b.service-name", "team-b"),
        ("flink-traces.clusters.b.resource-attributes.deployment.environment.name", "prod"),
        ("flink-traces.clusters.c", "http://you:hidden@c:8081"),
        ("flink-traces.clusters.c.poll-interval", "2 s"),
    ]);
    assert_eq!(problems, [""; 0]);
    let [a, b, c] = &clusters[..] else { panic!("{clusters:?}") };
    assert_eq!((a.name.as_str(), a.options.poll_interval), ("a", Duration::from_secs(1)));
    assert_eq!(a.options.access.timeout, Duration::from_secs(5));
    assert_eq!(a.options.access.authorization, Authorization::Bearer("global".to_owned()));
    assert_eq!(b.urls, ["http://b1:8081", "http://b2:8081"]);
    assert_eq!((b.options.poll_interval, b.poll_interval()), (Duration::from_secs(3), Duration::from_secs(4)));
    assert_eq!(b.options.access.timeout, Duration::from_secs(1));
    assert_eq!(b.options.access.authorization, Authorization::Basic("me".to_owned(), "secret".to_owned()));
    assert_eq!(b.options.detail, Some(SpanDetailLevel::ChildrenSpansPerTask));
    let resource = [("deployment.environment.name", "prod"), ("service.name", "team-b")];
    assert_eq!(b.options.resource, resource.map(|(key, value)| (key.to_owned(), value.to_owned())));
    // The user of the address is more specific than the token of all clusters.
    assert_eq!((c.options.access.authorization.clone(), c.options.poll_interval.as_secs()), (Authorization::None, 2));
    assert!(!format!("{clusters:?}").contains("secret"), "{clusters:?}");
}

#[test]
fn mistakes_in_a_cluster_name_the_key() {
    for (pairs, expected) in [
        (vec![("a.poll-interval", "1 s")], "code: flink-traces.clusters.a: expected flink-traces.clusters.a.url"),
        (
            vec![("a", "http://a"), ("a.url", "http://b")],
            "a.url: expected only one of this and flink-traces.clusters.a",
        ),
        (vec![("a.url", "")], "flink-traces.clusters.a.url: expected a URL"),
        (vec![("a", "http://a"), ("a.poll-interval", "soon")], "a.poll-interval: 'soon' is not a duration"),
        (vec![("a", "http://a"), ("a.requests-per-second", "0")], "a.requests-per-second: '0' is not a number above 0"),
        (vec![("a", "http://a"), ("a.basic-auth", "me")], "a.basic-auth: expected a user and a password"),
        (vec![("a", "http://a"), ("a.client-key", "k.pem")], "a.client-key: requires flink-traces.clusters.a.client-c"),
        (vec![("a", "http://a"), ("a.ca-certificates", "/no/ca.pem")], "a.ca-certificates: cannot be read: "),
        (vec![("a", "http://a"), ("a.bearer-token-file", "/no/token")], "a.bearer-token-file: cannot be read: "),
        (
            vec![("a", "http://a"), ("a.basic-auth", "me:x"), ("a.bearer-token", "y")],
            "a.basic-auth: expected only one of this and flink-traces.clusters.a.bearer-token",
        ),
        (vec![("a", "http://a"), ("a.bearer-token", "y\n")], "a.bearer-token: the token has a character"),
    ] {
        let keys: Vec<_> = pairs.iter().map(|(key, value)| (format!("flink-traces.clusters.{key}"), *value)).collect();
        let (_, problems) = read(&keys.iter().map(|(key, value)| (key.as_str(), *value)).collect::<Vec<_>>());
        assert!(problems.len() == 1 && problems[0].contains(expected), "{pairs:?}: {problems:?}");
    }
}
