//! The clusters that objects of Kubernetes stand for.

use flink_traces_api::{RawValue, printable};
use kube::api::{ApiResource, DynamicObject};
use serde_json::Value;

use super::Kubernetes;
use crate::cluster::{Authorization, Cluster};
use crate::options::CLUSTER_DETAIL_LEVEL;

/// The annotation that keeps a cluster from being watched.
const IGNORE: &str = "flink-traces/ignore";
/// The annotation with the REST address.
const REST_URL: &str = "flink-traces/rest-url";
/// The annotation with the children of checkpoint spans.
const DETAIL_LEVEL: &str = "flink-traces/span-detail-level";
/// The port of Flink's REST API, unless `rest.port` is set.
const REST_PORT: u64 = 8081;

/// A kind of object, in the order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A cluster of the Flink Kubernetes operator.
    FlinkDeployment,
    /// The service of a JobManager's REST API, by its labels.
    Service,
    /// A job of the operator, which names its session cluster.
    FlinkSessionJob,
}

/// The meaning of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    /// A cluster to watch.
    Cluster(Box<Cluster>),
    /// A cluster of this name that is not watched.
    Ignored(String),
    /// No cluster.
    Nothing,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::FlinkDeployment, Self::Service, Self::FlinkSessionJob];

    /// Returns the group, the version and the plural, under which the API server has the objects.
    pub(super) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::FlinkDeployment => ("flink.apache.org", "v1beta1", "FlinkDeployment", "flinkdeployments"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::FlinkSessionJob => ("flink.apache.org", "v1beta1", "FlinkSessionJob", "flinksessionjobs"),
        };
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }
}

impl Kubernetes {
    /// Returns the meaning of an object.
    pub(super) fn entry(&self, kind: Kind, object: &DynamicObject) -> Entry {
        let (Some(name), Some(namespace)) = (&object.metadata.name, &object.metadata.namespace) else {
            return Entry::Nothing;
        };
        let found = match kind {
            Kind::FlinkDeployment => Some((name.as_str(), deployment_url(name, namespace, &object.data))),
            Kind::FlinkSessionJob => object.data["spec"]["deploymentName"]
                .as_str()
                .map(|cluster| (cluster, format!("http://{cluster}-rest.{namespace}:{REST_PORT}"))),
            Kind::Service => rest_port(name, &object.data).map(|port| {
                let label = object.metadata.labels.as_ref().and_then(|labels| labels.get("app"));
                let cluster = label.map_or(name.trim_end_matches("-rest"), String::as_str);
                (cluster, format!("http://{name}.{namespace}:{port}"))
            }),
        };
        let Some((cluster, url)) = found else { return Entry::Nothing };
        let full_name = match &self.cluster_name {
            Some(first) => format!("{first}/{namespace}/{cluster}"),
            None => format!("{namespace}/{cluster}"),
        };
        let annotation = |key: &str| object.metadata.annotations.as_ref()?.get(key).map(|value| value.trim());
        if annotation(IGNORE).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            // An ignored job does not make its cluster ignored.
            return if kind == Kind::FlinkSessionJob { Entry::Nothing } else { Entry::Ignored(full_name) };
        }
        let mut options = self.defaults.clone();
        let of_cluster = self.cluster_name.as_ref().map(|name| ("k8s.cluster.name", name));
        let resource = of_cluster.into_iter().chain([("k8s.namespace.name", namespace)]);
        options.resource.extend(resource.map(|(key, value)| (key.to_owned(), value.clone())));
        if let Some(level) = annotation(DETAIL_LEVEL) {
            options.detail = CLUSTER_DETAIL_LEVEL.parse(&RawValue::Text(level.to_owned()));
            if options.detail.is_none() {
                let (cluster, level) = (printable(&full_name), printable(level));
                tracing::warn!(cluster, level, "annotation {DETAIL_LEVEL} is not a detail level, ignoring it");
            }
        }
        let urls = match annotation(REST_URL) {
            Some(urls) => {
                // Users that may annotate objects must not get the credentials of all clusters.
                options.access.authorization = Authorization::None;
                urls.split(',').map(|url| url.trim().to_owned()).collect()
            }
            None => vec![url],
        };
        Entry::Cluster(Box::new(Cluster { name: full_name, urls, options }))
    }
}

/// Returns the address of the service that the operator creates.
fn deployment_url(name: &str, namespace: &str, object: &Value) -> String {
    let configuration = &object["spec"]["flinkConfiguration"];
    let port = option(configuration, "rest.port").unwrap_or_else(|| REST_PORT.to_string());
    let is_tls = option(configuration, "security.ssl.rest.enabled").is_some_and(|value| value == "true");
    let scheme = if is_tls { "https" } else { "http" };
    format!("{scheme}://{name}-rest.{namespace}:{port}")
}

/// Returns an option of Flink's, which newer operators also take as nested maps.
fn option(configuration: &Value, key: &str) -> Option<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    };
    if let Some(found) = configuration.get(key) {
        return text(found);
    }
    let parts = key.match_indices('.').map(|(at, _)| (&key[..at], &key[at + 1..]));
    parts.into_iter().find_map(|(first, rest)| option(configuration.get(first)?, rest))
}

/// Returns the port named `rest` of a service.
///
/// Since the name can be configured (`kubernetes.rest-service.port-name`), the only port of Flink's
/// own service for the REST API has any name.
fn rest_port(name: &str, service: &Value) -> Option<u64> {
    let ports = service["spec"]["ports"].as_array()?;
    let named = ports.iter().find(|port| port["name"] == "rest");
    let only = || ports.first().filter(|_| ports.len() == 1 && name.ends_with("-rest"));
    named.or_else(only)?["port"].as_u64()
}

#[cfg(test)]
mod tests {
    use flink_traces_runtime::Configuration;
    use flink_traces_runtime::config::SpanDetailLevel;
    use serde_json::json;

    use super::*;
    use crate::cluster::ClusterOptions;

    fn source(pairs: &[(&str, &str)]) -> Kubernetes {
        let pairs = [("flink-traces.kubernetes.enabled", "true")].iter().chain(pairs).copied();
        let configuration = Configuration::from_pairs(pairs);
        let mut problems = Vec::new();
        let defaults = ClusterOptions::read(&configuration, &mut problems);
        let source = Kubernetes::read(&configuration, &defaults, &mut problems).unwrap();
        assert_eq!(problems, []);
        source
    }

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn deployment(configuration: &Value, annotations: &Value) -> DynamicObject {
        object(json!({
            "metadata": {"name": "orders", "namespace": "team-a", "annotations": annotations},
            "spec": {"flinkConfiguration": configuration},
        }))
    }

    fn cluster(entry: Entry) -> Cluster {
        match entry {
            Entry::Cluster(cluster) => *cluster,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn address_follows_from_the_configuration() {
        for (configuration, expected) in [
            (json!(null), "http://orders-rest.team-a:8081"),
            (json!({"rest.port": "9081"}), "http://orders-rest.team-a:9081"),
            (json!({"rest": {"port": 9081}}), "http://orders-rest.team-a:9081"),
            (json!({"rest.port": 1, "security.ssl.rest.enabled": "true"}), "https://orders-rest.team-a:1"),
            (json!({"security": {"ssl.rest": {"enabled": true}}}), "https://orders-rest.team-a:8081"),
            (json!({"rest.port": null, "rest": 7}), "http://orders-rest.team-a:8081"),
        ] {
            let found = cluster(source(&[]).entry(Kind::FlinkDeployment, &deployment(&configuration, &json!({}))));
            assert_eq!((found.name.as_str(), &found.urls[..]), ("team-a/orders", &[expected.to_owned()][..]));
            assert_eq!(found.options.resource, [("k8s.namespace.name".to_owned(), "team-a".to_owned())]);
        }
    }

    #[test]
    fn annotations_set_address_detail_and_ignore() {
        let source =
            source(&[("flink-traces.kubernetes.cluster-name", "eu"), ("flink-traces.rest.bearer-token", "c4nary")]);
        let entry = |annotations: Value| source.entry(Kind::FlinkDeployment, &deployment(&json!({}), &annotations));
        let plain = cluster(entry(json!({})));
        assert_eq!(plain.name, "eu/team-a/orders");
        assert_eq!(plain.options.resource[0], ("k8s.cluster.name".to_owned(), "eu".to_owned()));
        assert_ne!(plain.options.access.authorization, Authorization::None);

        let annotated = json!({
            "flink-traces/rest-url": "http://a:8081, http://b:8081",
            "flink-traces/span-detail-level": "children_spans_per_subtask",
        });
        let annotated = cluster(entry(annotated));
        assert_eq!(annotated.urls, ["http://a:8081", "http://b:8081"]);
        assert_eq!(annotated.options.detail, Some(SpanDetailLevel::ChildrenSpansPerSubtask));
        // The token is not for an address that anybody may set.
        assert_eq!(annotated.options.access.authorization, Authorization::None);

        assert_eq!(cluster(entry(json!({"flink-traces/span-detail-level": "all"}))).options.detail, None);
        assert_eq!(entry(json!({"flink-traces/ignore": "true"})), Entry::Ignored("eu/team-a/orders".to_owned()));
        assert!(matches!(entry(json!({"flink-traces/ignore": "false"})), Entry::Cluster(_)));
    }

    #[test]
    fn services_and_jobs_name_the_same_cluster() {
        let source = source(&[]);
        let service = object(json!({
            "metadata": {"name": "orders-rest", "namespace": "team-a", "labels": {"app": "orders"}},
            "spec": {"ports": [{"name": "blob", "port": 1}, {"name": "rest", "port": 8082}]},
        }));
        let found = cluster(source.entry(Kind::Service, &service));
        assert_eq!((found.name.as_str(), found.urls[0].as_str()), ("team-a/orders", "http://orders-rest.team-a:8082"));
        for (name, ports, expected) in [
            ("orders-rest", json!([{"name": "http-rest", "port": 8083}]), Some("http://orders-rest.team-a:8083")),
            ("orders-rest", json!([{"port": 8083}]), Some("http://orders-rest.team-a:8083")),
            ("orders-rest", json!([{"name": "http", "port": 1}, {"name": "metrics", "port": 2}]), None),
            ("orders", json!([{"port": 1}]), None),
            ("orders-rest", json!([]), None),
        ] {
            let service = json!({"metadata": {"name": name, "namespace": "team-a"}, "spec": {"ports": ports}});
            let entry = source.entry(Kind::Service, &object(service));
            let found = (entry != Entry::Nothing).then(|| cluster(entry).urls.remove(0));
            assert_eq!(found.as_deref(), expected, "{name} {ports}");
        }

        let job = |deployment: Value, ignore: &str| {
            let annotations = json!({"flink-traces/ignore": ignore});
            let spec = json!({"deploymentName": deployment});
            let metadata = json!({"name": "job", "namespace": "team-a", "annotations": annotations});
            source.entry(Kind::FlinkSessionJob, &object(json!({"metadata": metadata, "spec": spec})))
        };
        let found = cluster(job(json!("orders"), "false"));
        assert_eq!((found.name.as_str(), found.urls[0].as_str()), ("team-a/orders", "http://orders-rest.team-a:8081"));
        assert_eq!(job(json!("orders"), "true"), Entry::Nothing);
        assert_eq!(job(json!(null), "false"), Entry::Nothing);
    }
}
