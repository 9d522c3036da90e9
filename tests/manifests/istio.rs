//! Under a mesh.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Value, json};

use crate::documents::parse;
use crate::objects::{Objects, container};
use crate::schema::{AuthorizationPolicy, PeerAuthentication, VirtualService};

fn istio() -> Objects {
    Objects::written("overlays/istio")
}

#[test]
fn the_mesh_tries_no_write_again() {
    for host in ["kvstore", "splitdim"] {
        let service: VirtualService = istio().get("VirtualService", host);
        assert_eq!(service.spec.hosts, [host]);
        let [route] = &service.spec.http[..] else {
            panic!("one route: {service:?}");
        };
        assert!(route.matches.is_none() && route.fault.is_none());
        assert_eq!(route.retries.as_ref().map(|it| it.attempts), Some(0));
        assert_eq!(route.route[0].destination.host, host);
    }
}

#[test]
fn peers_prove_who_they_are_except_who_comes_from_outside() {
    use crate::schema::TlsMode::{Permissive, Strict};
    for (name, open) in [
        ("kvstore", &["9090"][..]),
        ("splitdim", &["8080", "9090"][..]),
    ] {
        let peers: PeerAuthentication = istio().get("PeerAuthentication", name);
        assert_eq!(peers.spec.selector.match_labels["app"], name);
        assert_eq!(peers.spec.mtls.mode, Strict);
        let ports: Vec<_> = peers.spec.port_level_mtls.keys().collect();
        assert_eq!(ports, open, "{name}");
        let mut modes = peers.spec.port_level_mtls.values();
        assert!(modes.all(|tls| tls.mode == Permissive), "{name}");
    }
}

#[test]
fn only_splitdim_may_use_the_store() {
    let policy: AuthorizationPolicy = istio().get("AuthorizationPolicy", "kvstore");
    let spec = policy.spec;
    assert_eq!(spec.selector.match_labels["app"], "kvstore");
    assert_eq!(spec.action, crate::schema::Action::Allow);
    let [store, metrics] = &spec.rules[..] else {
        panic!("two openings: {:?}", spec.rules);
    };
    let from = store.from.as_ref().expect("somebody is named");
    assert_eq!(from.len(), 1);
    assert_eq!(
        from[0].source.principals,
        ["cluster.local/ns/default/sa/splitdim"]
    );
    assert_eq!(store.to.len(), 1);
    assert_eq!(store.to[0].operation.ports, ["8081"]);
    assert!(metrics.from.is_none());
    assert_eq!(metrics.to.len(), 1);
    assert_eq!(metrics.to[0].operation.ports, ["9090"]);
    let methods = metrics.to[0].operation.methods.as_deref();
    assert_eq!(methods, Some(&["GET".to_owned()][..]));
}

#[test]
fn the_sidecar_outlives_the_program() {
    for overlay in ["overlays/istio", "overlays/chaos"] {
        let Some(objects) = Objects::rendered(overlay) else {
            return;
        };
        for (name, template) in templates(&objects) {
            let metadata = template.metadata.expect("it is annotated");
            let labels = metadata.labels.expect("it has labels");
            assert_eq!(labels["sidecar.istio.io/inject"], "true", "{name}");
            assert_eq!(labels["app"], name);
            let annotations = metadata.annotations.expect("it is annotated");
            let config = parse(&annotations["proxy.istio.io/config"]);
            let config: Value = config.expect("it is YAML").remove(0);
            assert_eq!(config["holdApplicationUntilProxyStarts"], json!(true));
            let proxy = &config["proxyMetadata"];
            assert_eq!(proxy["EXIT_ON_ZERO_ACTIVE_CONNECTIONS"], "true");
            let least = proxy["MINIMUM_DRAIN_DURATION"].as_str();
            let least = humantime::parse_duration(least.expect("it stays for a while"));
            let pod = template.spec.expect("it has one");
            let hook = container(&pod)
                .lifecycle
                .as_ref()
                .and_then(|it| it.pre_stop.as_ref());
            let pause = hook
                .and_then(|it| it.sleep.as_ref())
                .expect("it sleeps")
                .seconds;
            let least = least.expect("it is a duration").as_secs();
            assert!(least > pause.unsigned_abs(), "{name}");
        }
    }
}

fn templates(objects: &Objects) -> [(&'static str, PodTemplateSpec); 2] {
    let deployment: Deployment = objects.get("Deployment", "splitdim");
    let set: StatefulSet = objects.get("StatefulSet", "kvstore");
    [
        ("splitdim", deployment.spec.expect("it has one").template),
        ("kvstore", set.spec.expect("it has one").template),
    ]
}
