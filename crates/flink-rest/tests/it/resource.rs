//! Resources and declarations: paths that are built and parsed.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use expect_test::expect_file;
use flink_rest::{
    CheckpointDetails, CheckpointSubtasks, CheckpointTriggerStatus, Checkpoints, Config, Declaration, ENDPOINTS,
    Endpoint, Job, JobId, JobMetrics, JobVertexId, Jobs, JobsMetrics, JobsOverview, Resource, SubtaskAttempt,
    SubtaskTimes, TriggerId,
};
use proptest::prelude::*;

fn job(id: &str) -> JobId {
    JobId::new(id).unwrap()
}

fn vertex(id: &str) -> JobVertexId {
    JobVertexId::new(id).unwrap()
}

#[test]
fn path_parses_to_its_resource() {
    let details = Resource::from(CheckpointDetails { job: job("abc"), checkpoint: 7 });
    let metrics =
        |names: &[&str]| JobMetrics::new(job("abc")).names(names.iter().map(|&name| name.into()).collect::<Vec<_>>());
    for (path, expected) in [
        ("/jobs", Some(Jobs.into())),
        ("/jobs/", Some(Jobs.into())),
        ("/v1/jobs/overview", Some(JobsOverview.into())),
        ("/jobs/overview?refresh=1", Some(JobsOverview.into())),
        ("/jobs/C554", Some(Job { job: job("C554") }.into())),
        ("/jobs/abc/checkpoints/details/7", Some(details.clone())),
        ("/v1/jobs/abc/checkpoints/details/7/?x", Some(details)),
        ("/jobs/a%2F%2E%2E%0Ab/checkpoints", Some(Checkpoints { job: job("a/..\nb") }.into())),
        ("/jobs/abc/metrics", Some(metrics(&[]).into())),
        ("/jobs/abc/metrics?agg=max&get=a.b,c%2Cd", Some(metrics(&["a.b", "c,d"]).into())),
        ("", None),
        ("/", None),
        ("/v1", None),
        ("jobs", None),
        ("/V1/jobs", None),
        ("/v2/jobs", None),
        ("/jobs//checkpoints", None),
        ("/jobs/metrics", Some(JobsMetrics::default().into())),
        (
            "/jobs/metrics?jobs=a,b&agg=max",
            Some(JobsMetrics::default().aggregations(vec!["max".into()]).jobs(vec![job("a"), job("b")]).into()),
        ),
        ("/jobs/metrics?jobs=", None),
        ("/jobs/%2e%2e", None),
        ("/jobs/%ff", None),
        ("/jobs/abc/checkpoints/details/abc", None),
        ("/jobs/abc/checkpoints/details/99999999999999999999", None),
        (
            "/jobs/abc/checkpoints/0123",
            Some(CheckpointTriggerStatus { job: job("abc"), trigger: TriggerId::new("0123").unwrap() }.into()),
        ),
        ("/jobs/abc/yarn-cancel", None),
        ("/v1/v1/jobs", None),
        ("/config#x", None),
    ] {
        assert_eq!(Resource::parse(path), expected, "{path}");
    }
}

#[test]
fn ids_are_encoded_in_paths() {
    let resource = CheckpointSubtasks { job: job("a/../b\r\n?#%"), checkpoint: -1, vertex: vertex("é_-.") };
    assert_eq!(resource.path(), "/jobs/a%2F%2E%2E%2Fb%0D%0A%3F%23%25/checkpoints/details/-1/subtasks/%C3%A9_-%2E");
    let metrics = JobMetrics::new(job("abc")).names(vec!["a.b".into(), "c,d&e".into()]);
    assert_eq!(metrics.path(), "/jobs/abc/metrics?get=a%2Eb,c%2Cd%26e");
}

const EXAMINED: &[&str] =
    &["1.9.3", "1.13.6", "1.15.4", "1.17.2", "1.18.1", "1.19.3", "1.20.5", "2.0.1", "2.1.1", "2.2.0", "2.3.0"];
/// Paths that Flink serves without declaring them.
const UNDECLARED: &[&str] = &["/jobmanager/log", "/jobmanager/stdout"];

/// Scenario: the declarations of eleven versions of Flink, from their own classes.
/// Guarantees: the same endpoints are declared here, with status, query, body and exact versions.
#[test]
fn endpoints_equal_flinks_declarations() {
    let versions_of = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut declared = BTreeSet::new();
    let mut lines = include_str!("../data/declared.txt").lines().filter(|line| !line.starts_with('#')).peekable();
    while let Some(line) = lines.next() {
        let mut columns = line.splitn(5, ' ');
        let mut column = || columns.next().unwrap();
        let (method, path, status, body, versions) = (column(), column(), column(), column(), versions_of(column()));
        let mut keys = BTreeSet::new();
        while let Some(key) = lines.next_if(|line| line.starts_with("  ?")) {
            keys.insert(key.trim_start_matches("  ?").split(' ').next().unwrap());
        }
        let endpoint = ENDPOINTS.iter().find(|endpoint| (endpoint.method, endpoint.path) == (method, path));
        let endpoint = endpoint.unwrap_or_else(|| panic!("{method} {path} is not declared"));
        let ours = EXAMINED.iter().filter(|version| endpoint.versions.contains(version.parse().unwrap()));
        assert_eq!(ours.copied().collect::<Vec<_>>(), versions, "{method} {path}");
        assert_eq!(endpoint.query.iter().copied().collect::<BTreeSet<_>>(), keys, "{method} {path}");
        if status != "-" {
            assert_eq!(endpoint.status.to_string(), status, "{method} {path}");
            // Flink sends the body of a plan request in the query too, the only way with GET.
            assert_eq!(endpoint.request.is_some(), body == "body" && method != "GET", "{method} {path}");
        }
        declared.insert((method, path));
    }
    for endpoint in ENDPOINTS.iter().filter(|endpoint| !UNDECLARED.contains(&endpoint.path)) {
        assert!(declared.contains(&(endpoint.method, endpoint.path)), "{} is not Flink's", endpoint.path);
    }
    assert_eq!(declared.len() + UNDECLARED.len(), ENDPOINTS.len());
}

/// Guarantees: a request finds its own endpoint, even if another path matches too.
#[test]
fn path_finds_its_own_declaration() {
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.name != "CoordinateById") {
        let path: Vec<_> =
            endpoint.path.split('/').map(|segment| if segment.starts_with(':') { "17" } else { segment }).collect();
        let path = format!("/v1{}/?x=1", path.join("/"));
        assert_eq!(Declaration::of(endpoint.method, &path), Some(endpoint), "{path}");
        assert_eq!(Declaration::of("OPTIONS", &path), None);
        let is_resource = endpoint.status == 200 && endpoint.response != "File";
        if endpoint.method == "GET" {
            let found = Resource::parse(&path).map(|resource| resource.template());
            assert_eq!(found, is_resource.then_some(endpoint.path));
        }
    }
    assert_eq!(Declaration::of("GET", "/index.html"), None);
}

/// `UPDATE_EXPECT=1` rewrites the page.
#[test]
fn endpoints_page_lists_every_endpoint() {
    let mut page = "# Endpoints\n\n\
        This table is generated from the declarations in `src/endpoints.rs`.\n\
        \"Since\" is the first version that has the endpoint, among those examined: 1.9, 1.13, 1.15 and 1.17 to 2.3.\n\n\
        | Request | Since | Endpoint | Response |\n| --- | --- | --- | --- |\n"
        .to_owned();
    let docs = "https://docs.rs/flink-rest/latest/flink_rest";
    for Declaration { name, method, path, response, versions, .. } in ENDPOINTS {
        let endpoint = format!("[`{name}`]({docs}/struct.{name}.html)");
        let response = format!("[`{response}`]({docs}/types/struct.{response}.html)");
        writeln!(page, "| `{method} {path}` | {versions} | {endpoint} | {response} |").unwrap();
    }
    expect_file!["../../ENDPOINTS.md"].assert_eq(&page);
}

fn any_job() -> impl Strategy<Value = JobId> {
    prop_oneof!["[0-9a-f]{32}", ".{1,30}", "[a-z./%?#]{1,9}"].prop_filter_map("no id", |id: String| JobId::new(id).ok())
}

fn any_vertex() -> impl Strategy<Value = JobVertexId> {
    any_job().prop_filter_map("no id", |id| JobVertexId::new(String::from(id)).ok())
}

fn any_resource() -> impl Strategy<Value = Resource> {
    prop_oneof![
        Just(Config.into()),
        Just(JobsOverview.into()),
        any_job().prop_map(|job| Job { job }.into()),
        any_job().prop_map(|job| Checkpoints { job }.into()),
        (any_job(), prop::collection::vec(".{0,9}", 0..4))
            .prop_map(|(job, names)| JobMetrics::new(job).names(names).into()),
        (any_job(), any::<i64>()).prop_map(|(job, checkpoint)| CheckpointDetails { job, checkpoint }.into()),
        (any_job(), any::<i64>(), any_vertex()).prop_map(|(job, checkpoint, vertex)| CheckpointSubtasks {
            job,
            checkpoint,
            vertex
        }
        .into()),
        (any_job(), any_vertex()).prop_map(|(job, vertex)| SubtaskTimes { job, vertex }.into()),
        (any_job(), any_vertex(), any::<i64>(), any::<i64>())
            .prop_map(|(job, vertex, subtask, attempt)| SubtaskAttempt { job, vertex, subtask, attempt }.into()),
    ]
}

proptest! {
    #[test]
    fn path_survives_a_round_trip(resource in any_resource()) {
        let path = resource.path();
        prop_assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{}", path);
        prop_assert_eq!(Resource::parse(&path), Some(resource.clone()));
        prop_assert_eq!(Resource::parse(&format!("/v1{path}")), Some(resource));
    }

    #[test]
    fn parse_of_any_text_returns(path in prop_oneof![".*", "(/|v1|jobs|overview|%|2|e|checkpoints|details|7|\\?get=|,){0,12}"]) {
        if let Some(resource) = Resource::parse(&path) {
            prop_assert_eq!(Resource::parse(&resource.path()), Some(resource));
        }
    }

    #[test]
    fn parse_body_of_any_bytes_returns(resource in any_resource(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = resource.parse_body(&body) {
            prop_assert!(!error.to_string().contains(char::is_control));
        }
    }
}
