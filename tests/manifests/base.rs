//! What `kubectl apply -k k8s` deploys.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::objects::{Objects, container, value, variable};

fn base() -> Objects {
    Objects::written("base")
}

#[test]
fn it_is_what_kustomize_applies() {
    let (Some(whole), Some(base)) = (Objects::rendered(""), Objects::rendered("base")) else {
        return;
    };
    assert_eq!(whole.0, base.0);
}

#[test]
fn the_service_is_reached_from_outside_and_its_metrics_are_not() {
    let service: Service = base().get("Service", "splitdim");
    let spec = service.spec.expect("it has one");
    assert_eq!(spec.type_.as_deref(), Some("LoadBalancer"));
    let ports = spec.ports.expect("it has ports");
    let [port] = &ports[..] else {
        panic!("one port is shown: {ports:?}");
    };
    assert_eq!(port.port, 80);
    assert_eq!(port.target_port, Some(IntOrString::Int(8080)));
    assert_eq!(spec.selector, selected("splitdim"));
}

#[test]
fn the_store_is_reached_by_its_name() {
    let service: Service = base().get("Service", "kvstore");
    let spec = service.spec.expect("it has one");
    assert_eq!(spec.cluster_ip.as_deref(), Some("None"));
    assert_eq!(spec.publish_not_ready_addresses, Some(true));
    let ports = spec.ports.expect("it has ports");
    let [port] = &ports[..] else {
        panic!("one port is shown: {ports:?}");
    };
    // The name tells a mesh that faults of HTTP can be injected.
    assert_eq!((port.port, port.name.as_deref()), (8081, Some("http")));
    assert_eq!(port.target_port, Some(IntOrString::Int(8081)));
    assert_eq!(spec.selector, selected("kvstore"));
}

#[test]
fn the_mode_and_the_address_come_from_the_map() {
    let map: ConfigMap = base().get("ConfigMap", "splitdim-config");
    let data = map.data.expect("it has data");
    let data: Vec<_> = data.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(
        data,
        [
            ("kvstoreAddr", "kvstore.default:8081"),
            ("kvstoreMode", "kvstore")
        ]
    );
    let pod = base().pod("splitdim");
    for (name, key) in [
        ("KVSTORE_MODE", "kvstoreMode"),
        ("KVSTORE_ADDR", "kvstoreAddr"),
    ] {
        let source = variable(&pod, name).and_then(|it| it.value_from.as_ref());
        let source = source.and_then(|it| it.config_map_key_ref.as_ref());
        let source = source.expect("it comes from a map");
        assert_eq!((&*source.name, &*source.key), ("splitdim-config", key));
    }
}

#[test]
fn replicas_are_replaced_without_a_gap() {
    let deployment: Deployment = base().get("Deployment", "splitdim");
    let spec = deployment.spec.expect("it has one");
    assert_eq!(spec.selector.match_labels, selected("splitdim"));
    let strategy = spec.strategy.expect("it has one");
    assert_eq!(strategy.type_.as_deref(), Some("RollingUpdate"));
    let rolling = strategy.rolling_update.expect("it is told how");
    assert_eq!(rolling.max_unavailable, Some(IntOrString::Int(0)));
    assert_eq!(rolling.max_surge, Some(IntOrString::Int(1)));
}

#[test]
fn there_is_one_store_and_it_keeps_its_volume() {
    let set: StatefulSet = base().get("StatefulSet", "kvstore");
    let spec = set.spec.expect("it has one");
    assert_eq!(spec.replicas, Some(1));
    assert_eq!(spec.service_name.as_deref(), Some("kvstore"));
    assert_eq!(spec.selector.match_labels, selected("kvstore"));
    let claims = spec.volume_claim_templates.expect("it claims a volume");
    let [claim] = &claims[..] else {
        panic!("one volume is claimed: {claims:?}");
    };
    let pod = base().pod("kvstore");
    let mounts = container(&pod)
        .volume_mounts
        .as_ref()
        .expect("it is mounted");
    assert_eq!(Some(&*mounts[0].name), claim.metadata.name.as_deref());
    assert_eq!(value(&pod, "KVSTORE_DATA"), Some(&*mounts[0].mount_path));
    let command = container(&pod).command.as_ref().expect("it has one");
    assert_eq!(command, &["/usr/local/bin/kvstore"]);
}

#[test]
fn a_container_has_a_tenth_of_a_core() {
    for (name, pod) in base().pods() {
        let resources = container(&pod).resources.as_ref().expect("they are set");
        for cpu in [&resources.requests, &resources.limits] {
            let cpu = cpu.as_ref().and_then(|them| them.get("cpu"));
            assert_eq!(cpu.map(|quantity| &*quantity.0), Some("100m"), "{name}");
        }
        let memory = resources
            .limits
            .as_ref()
            .and_then(|them| them.get("memory"));
        assert!(memory.is_some(), "{name}");
    }
}

#[test]
fn each_has_an_account_of_its_own_without_a_token() {
    for name in ["splitdim", "kvstore"] {
        let account: ServiceAccount = base().get("ServiceAccount", name);
        assert_eq!(account.automount_service_account_token, Some(false));
        assert_eq!(base().pod(name).service_account_name.as_deref(), Some(name));
    }
}

/// Selectors are optional where they are compared.
fn selected(app: &str) -> Option<std::collections::BTreeMap<String, String>> {
    Some([("app".to_owned(), app.to_owned())].into())
}
