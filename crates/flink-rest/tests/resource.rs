//! Resources: their paths, there and back.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use flink_rest::{
    CheckpointDetails, CheckpointSubtasks, Checkpoints, Config, Endpoint, Job, JobId, JobMetrics, JobVertexId, Jobs,
    JobsOverview, Resource, SubtaskAttempt, SubtaskTimes,
};
use proptest::prelude::*;

fn job(id: &str) -> JobId {
    JobId::new(id).unwrap()
}

fn vertex(id: &str) -> JobVertexId {
    JobVertexId::new(id).unwrap()
}

#[test]
fn a_path_names_its_resource_however_it_is_asked() {
    let details = Resource::from(CheckpointDetails { job: job("abc"), checkpoint: 7 });
    let metrics =
        |names: &[&str]| JobMetrics { job: job("abc"), names: names.iter().map(|&name| name.into()).collect() };
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
        ("/jobs/metrics", None),
        ("/jobs/%2e%2e", None),
        ("/jobs/%ff", None),
        ("/jobs/abc/checkpoints/details/abc", None),
        ("/jobs/abc/checkpoints/details/99999999999999999999", None),
        ("/jobs/abc/checkpoints/0123456789abcdef0123456789abcdef", None),
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
    let metrics = JobMetrics { job: job("abc"), names: vec!["a.b".into(), "c,d&e".into()] };
    assert_eq!(metrics.path(), "/jobs/abc/metrics?get=a%2Eb,c%2Cd%26e");
}

/// Scenario: every GET that any version of Flink declares, by its own classes.
/// Guarantees: each endpoint of this crate is declared so by every version, and no other path is taken for one of them.
#[test]
fn endpoints_are_those_that_flink_declares() {
    let declared = include_str!("data/declared.txt").lines().filter(|line| !line.starts_with('#'));
    let mut found = Vec::new();
    for line in declared {
        let (template, versions) = line.split_once(' ').unwrap();
        let path: Vec<_> =
            template.split('/').map(|segment| if segment.starts_with(':') { "17" } else { segment }).collect();
        let known = Resource::ENDPOINTS.contains(&("GET", template));
        assert_eq!(Resource::parse(&path.join("/")).is_some(), known, "{template}");
        if known {
            assert_eq!(versions.split(' ').count(), 11, "{template}");
            found.push(template);
        }
    }
    assert_eq!(found.len(), Resource::ENDPOINTS.len());
}

#[test]
fn the_readme_lists_every_endpoint() {
    let listed: Vec<_> = include_str!("../README.md").lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(listed.len(), Resource::ENDPOINTS.len());
    for (method, path) in Resource::ENDPOINTS {
        let cell = format!("| `{method} {path}` |");
        assert!(listed.iter().any(|line| line.contains(&cell)), "{cell}");
    }
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
        (any_job(), prop::collection::vec(".{0,9}", 0..4)).prop_map(|(job, names)| JobMetrics { job, names }.into()),
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
    fn a_path_leads_back_to_its_resource(resource in any_resource()) {
        let path = resource.path();
        prop_assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{}", path);
        prop_assert_eq!(Resource::parse(&path), Some(resource.clone()));
        prop_assert_eq!(Resource::parse(&format!("/v1{path}")), Some(resource));
    }

    #[test]
    fn any_text_is_parsed_or_refused(path in prop_oneof![".*", "(/|v1|jobs|overview|%|2|e|checkpoints|details|7|\\?get=|,){0,12}"]) {
        if let Some(resource) = Resource::parse(&path) {
            prop_assert_eq!(Resource::parse(&resource.path()), Some(resource));
        }
    }

    #[test]
    fn any_body_is_read_or_refused(resource in any_resource(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = resource.parse_body(&body) {
            prop_assert!(!error.to_string().contains(char::is_control));
        }
    }
}
