//! `run` with a fake API server of Kubernetes.

use serde_json::json;

use crate::cli_metrics::{address, wait_for_page};
use crate::support::flink::FakeFlink;
use crate::support::kubernetes::ApiServer;
use crate::support::process::Place;
use crate::support::session;

const OVERVIEW: &str = "/jobs/overview";

/// Scenario: 1,100 objects, new ones, late events, cut lines, a version that is forgotten, and a
/// token that expires. Guarantees: the clusters follow the objects, and a failure removes none.
#[test]
fn clusters_follow_the_api_server() {
    let place = Place::new();
    let (flink, api) = (FakeFlink::start(session::answers()), ApiServer::start("c4nary-1"));
    let at_flink = json!({"flink-traces/rest-url": flink.url()});
    for number in 0..1_099 {
        api.put("team-a", &format!("ignored-{number:04}"), &json!({"flink-traces/ignore": "true"}));
    }
    api.put("team-b", "orders", &at_flink);
    place.write("kubeconfig", api.kubeconfig("c4nary-1"));
    let running = place.start(&[
        "run",
        "-Dflink-traces.kubernetes.enabled=true",
        "-Dflink-traces.kubernetes.kubeconfig=kubeconfig",
        "-Dflink-traces.kubernetes.cluster-name=eu",
        "-Dflink-traces.poll-interval=20 ms",
        "-Dflink-traces.metrics.listen=0",
    ]);
    let address = address(&running);
    let up = |name: &str| format!("flink_traces_cluster_up{{cluster=\"eu/{name}\"}}");
    let watched = |names: &[&str]| {
        wait_for_page(&address, |page| {
            page["flink_traces_clusters"] == names.len() as u64
                && names.iter().all(|name| page.get(&up(name)) == Some(&1))
        });
    };
    watched(&["team-b/orders"]);
    assert!(api.requests("continue=") == 2, "{}", api.requests("continue="));

    // A new object, and one that is no longer ignored.
    api.put("team-b", "billing", &at_flink);
    api.put("team-a", "ignored-0007", &at_flink);
    watched(&["team-b/orders", "team-b/billing", "team-a/ignored-0007"]);

    // A bookmark and a state of an object from long ago.
    let old = json!({"name": "orders", "namespace": "team-b", "resourceVersion": "3",
        "annotations": {"flink-traces/ignore": "true"}});
    let kind = json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment"});
    let with_kind = |metadata: serde_json::Value| {
        json!({"apiVersion": kind["apiVersion"], "kind": kind["kind"],
        "metadata": metadata, "spec": {}})
    };
    api.say(&json!({"type": "BOOKMARK", "object": with_kind(json!({"resourceVersion": "2"}))}));
    api.say(&json!({"type": "MODIFIED", "object": with_kind(old)}));
    api.put("team-b", "later", &at_flink);
    watched(&["team-b/orders", "team-b/billing", "team-a/ignored-0007", "team-b/later"]);

    // A watch that is cut goes on from the last version: nothing is listed again.
    let pages = api.requests("limit=500");
    api.cut();
    api.delete("team-a", "ignored-0007");
    watched(&["team-b/orders", "team-b/billing", "team-b/later"]);
    assert_eq!(api.requests("limit=500"), pages);

    // What happened before a version that is forgotten is listed.
    api.delete("team-b", "later");
    api.forget();
    api.cut();
    api.put("team-b", "newest", &at_flink);
    watched(&["team-b/orders", "team-b/billing", "team-b/newest"]);

    // A token that expired removes nothing, and the next one is taken from the kubeconfig.
    api.require("c4nary-2");
    api.cut();
    running.wait_for_stderr("discovery failed, keeping the known clusters source=\"kubernetes\"");
    flink.ignore_requests();
    flink.wait_for_requests(OVERVIEW, 20);
    wait_for_page(&address, |page| page["flink_traces_discovery_up{source=\"kubernetes\"}"] == 0);
    // Another reason is logged, too.
    place.write("kubeconfig", "clusters: 7");
    running.wait_for_stderr("error=\"failed to parse");
    api.delete("team-b", "billing");
    place.write("kubeconfig", api.kubeconfig("c4nary-2"));
    watched(&["team-b/orders", "team-b/newest"]);
    running.wait_for_stderr("discovery works again source=\"kubernetes\"");
    running.signal("TERM");
    let stopped = running.finish().expect_code(0);
    assert!(!stopped.stderr.contains("c4nary"), "{}", stopped.stderr);

    let arguments = ["-Dflink-traces.kubernetes.enabled=true", "-Dflink-traces.kubernetes.kubeconfig=kubeconfig"];
    let checked = place.run(&[&["check"], &arguments[..]].concat()).expect_code(0);
    assert!(checked.stdout.contains("  ok      discovery kubernetes: 2 clusters"), "{checked:?}");
    assert!(checked.stdout.contains("cluster team-b/orders: Flink 2.3.0"), "{checked:?}");
}

/// A kubeconfig with a credential plugin that is not installed.
const WITHOUT_PLUGIN: &str = "
apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: 'http://127.0.0.1:1'}}]
users:
- name: it
  user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: no-plugin, interactiveMode: Never}}
";

#[test]
fn unreachable_api_server_is_named_by_check() {
    let place = Place::new();
    let api = ApiServer::start("c4nary");
    place.write("kubeconfig", api.kubeconfig("wrong"));
    let arguments = ["-Dflink-traces.kubernetes.enabled=true", "-Dflink-traces.kubernetes.kubeconfig=kubeconfig"];
    let checked = place.run(&[&["check"], &arguments[..]].concat()).expect_code(69);
    assert!(checked.stdout.contains("  FAILED  discovery kubernetes: cannot list "), "{checked:?}");
    let missing = ["-Dflink-traces.kubernetes.enabled=true", "-Dflink-traces.kubernetes.kubeconfig=nowhere"];
    let checked = place.run(&[&["check"], &missing[..]].concat()).expect_code(69);
    assert!(
        checked.stdout.contains("  FAILED  discovery kubernetes: ") && checked.stdout.contains("nowhere"),
        "{checked:?}"
    );
    place.write("kubeconfig", WITHOUT_PLUGIN);
    let checked = place.run(&[&["check"], &arguments[..]].concat()).expect_code(69);
    assert!(checked.stdout.contains("cannot run no-plugin, which the kubeconfig needs"), "{checked:?}");
}
