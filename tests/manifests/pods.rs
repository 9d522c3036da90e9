//! What every pod has, whoever makes it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, PodSpec, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::objects::{Objects, container, value};

/// The longest that Kubernetes waits for a pod that it has told to stop.
const LONGEST_STOP: i64 = 600;

/// In which splitdim finishes open transfers after its grace period.
const LAST_ROUND: Duration = Duration::from_secs(10);

/// Nobody special, as in the image.
const NOBODY: i64 = 65532;

#[test]
fn every_pod_is_restricted() {
    for_each_pod(|name, pod| {
        let rights = pod.security_context.as_ref().expect("it is restricted");
        assert_eq!(rights.run_as_non_root, Some(true), "{name}");
        assert_eq!(rights.run_as_user, Some(NOBODY), "{name}");
        assert_eq!(rights.run_as_group, Some(NOBODY), "{name}");
        assert_eq!(rights.fs_group, Some(NOBODY), "{name}");
        let seccomp = rights.seccomp_profile.as_ref().expect("it has a profile");
        assert_eq!(seccomp.type_, "RuntimeDefault", "{name}");
        for share in [pod.host_network, pod.host_pid, pod.host_ipc] {
            assert_eq!(share, None, "{name}");
        }

        let rights = container(pod).security_context.as_ref();
        let rights = rights.expect("it is restricted");
        assert_eq!(rights.allow_privilege_escalation, Some(false), "{name}");
        assert_eq!(rights.read_only_root_filesystem, Some(true), "{name}");
        assert_eq!(rights.privileged, None, "{name}");
        let capabilities = rights.capabilities.as_ref().expect("they are dropped");
        assert_eq!(capabilities.drop, Some(vec!["ALL".to_owned()]), "{name}");
        assert_eq!(capabilities.add, None, "{name}");
    });
}

#[test]
fn no_pod_gets_to_kubernetes() {
    for_each_pod(|name, pod| {
        assert_eq!(pod.automount_service_account_token, Some(false), "{name}");
        assert_eq!(pod.enable_service_links, Some(false), "{name}");
        assert!(pod.service_account_name.is_some(), "{name}");
    });
}

#[test]
fn every_pod_is_of_the_one_image() {
    for_each_pod(|name, pod| {
        let container = container(pod);
        assert_eq!(
            container.image.as_deref(),
            Some("localhost/splitdim:latest"),
            "{name}"
        );
        // Of `latest`, Kubernetes would want a newer one, which a local image has nowhere.
        assert_eq!(
            container.image_pull_policy.as_deref(),
            Some("IfNotPresent"),
            "{name}"
        );
    });
}

#[test]
fn a_pod_stops_within_its_time() {
    for_each_server(|name, pod| {
        let container = container(pod);
        let hook = container
            .lifecycle
            .as_ref()
            .and_then(|it| it.pre_stop.as_ref());
        let hook = hook.expect("it leaves the endpoints first");
        assert_eq!(hook.exec, None, "{name}: there is no shell");
        let pause = hook.sleep.as_ref().expect("it sleeps").seconds;
        assert!(pause > 0, "{name}");

        let drain = value(pod, &format!("{}_GRACE_PERIOD", name.to_uppercase()));
        let drain = drain.expect("its drain has an end");
        let drain = humantime::parse_duration(drain).expect("it is a duration");
        let last_round = match name {
            "splitdim" => LAST_ROUND,
            _ => Duration::ZERO,
        };
        let pause = Duration::from_secs(pause.unsigned_abs());
        let allowed = pod.termination_grace_period_seconds.expect("it has time");
        assert_eq!(allowed, LONGEST_STOP, "{name}");
        let allowed = Duration::from_secs(allowed.unsigned_abs());
        assert!(pause + drain + last_round < allowed, "{name}");
    });
}

#[test]
fn a_pod_is_probed_where_it_serves() {
    for_each_server(|name, pod| {
        let container = container(pod);
        let port = port(name);
        let live = container.liveness_probe.as_ref().expect("it is probed");
        assert_eq!(asks(live), ("/healthz".to_owned(), port), "{name}");
        assert_eq!(live.initial_delay_seconds, Some(3), "{name}");
        assert_eq!(live.period_seconds, Some(2), "{name}");
        // A tenth of a core: an answer is late before it is missing.
        assert!(live.timeout_seconds >= Some(5), "{name}");
        assert!(live.failure_threshold >= Some(3), "{name}");

        let ready = container.readiness_probe.as_ref().expect("it is probed");
        assert_eq!(asks(ready), ("/readyz".to_owned(), port), "{name}");
        assert!(ready.timeout_seconds >= Some(5), "{name}");

        // Opening a large store takes longer than the liveness probe allows.
        let start = container.startup_probe.as_ref().expect("it may take time");
        assert_eq!(asks(start), ("/healthz".to_owned(), port), "{name}");
        let allowed = start.period_seconds.zip(start.failure_threshold);
        assert!(
            allowed.is_some_and(|(period, times)| period * times >= 300),
            "{name}"
        );
    });
}

#[test]
fn metrics_have_a_port_of_their_own() {
    for_each_server(|name, pod| {
        let setting = format!("{}_OPS_LISTEN", name.to_uppercase());
        assert_eq!(value(pod, &setting), Some("0.0.0.0:9090"), "{name}");
        let setting = format!("{}_LISTEN", name.to_uppercase());
        let served = format!("0.0.0.0:{}", port(name));
        assert_eq!(value(pod, &setting), Some(&*served), "{name}");
        let ports = [("http", port(name)), ("ops", 9090)];
        assert_eq!(ports_of(container(pod)), ports, "{name}");
    });
}

#[test]
fn what_is_kept_is_on_a_volume() {
    for_each_pod(|name, pod| {
        let data = ["SPLITDIM_DATA", "KVSTORE_DATA"];
        let data = data.iter().find_map(|variable| value(pod, variable));
        let mounts = container(pod).volume_mounts.iter().flatten();
        let mounts: Vec<_> = mounts.map(|mount| &*mount.mount_path).collect();
        assert_eq!(Vec::from_iter(data), mounts, "{name}");
    });
}

/// Every pod of every deployment, and those that are made by hand.
fn for_each_pod(look: impl Fn(&str, &PodSpec)) {
    let overlays = ["local", "production", "istio", "chaos"];
    let overlays = overlays.map(|overlay| format!("overlays/{overlay}"));
    let rendered = overlays.iter().filter_map(|it| Objects::rendered(it));
    for objects in ["base", "restore"]
        .map(Objects::written)
        .into_iter()
        .chain(rendered)
    {
        let pods = objects.pods();
        assert!(!pods.is_empty());
        for (name, pod) in pods {
            look(&name, &pod);
        }
    }
}

/// Those of them that serve.
fn for_each_server(look: impl Fn(&str, &PodSpec)) {
    for_each_pod(|name, pod| {
        if name != "kvstore-import" {
            look(name, pod);
        }
    });
}

fn port(name: &str) -> i32 {
    match name {
        "splitdim" => 8080,
        "kvstore" => 8081,
        other => panic!("nothing is known of {other}"),
    }
}

fn asks(probe: &Probe) -> (String, i32) {
    let asked = probe.http_get.as_ref().expect("it is asked by HTTP");
    let IntOrString::Int(port) = asked.port else {
        panic!("the port of a probe is a number here: {:?}", asked.port);
    };
    (asked.path.clone().unwrap_or_default(), port)
}

fn ports_of(container: &Container) -> Vec<(&str, i32)> {
    let ports = container.ports.iter().flatten();
    let ports = ports.map(|port| {
        (
            port.name.as_deref().unwrap_or_default(),
            port.container_port,
        )
    });
    ports.collect()
}
