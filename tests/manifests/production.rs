//! Three replicas, closed to everybody who need not get in.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::objects::{Objects, value, variable};

/// Nothing in what follows is looked at where there is no kubectl.
fn production() -> Option<Objects> {
    Objects::rendered("overlays/production")
}

#[test]
fn three_replicas_write_in_transactions() {
    let Some(objects) = production() else { return };
    let deployment: Deployment = objects.get("Deployment", "splitdim");
    assert_eq!(deployment.spec.expect("it has one").replicas, Some(3));
    let map: ConfigMap = objects.get("ConfigMap", "splitdim-config");
    let data = map.data.expect("it has data");
    assert_eq!(data["kvstoreMode"], "transactionalkvstore");
    assert_eq!(data["kvstoreAddr"], "kvstore.default:8081");
}

#[test]
fn replicas_are_apart_and_not_taken_away_together() {
    let Some(objects) = production() else { return };
    let budget: PodDisruptionBudget = objects.get("PodDisruptionBudget", "splitdim");
    let budget = budget.spec.expect("it has one");
    assert_eq!(budget.max_unavailable, Some(IntOrString::Int(1)));
    assert_eq!(labels(budget.selector.as_ref()), [("app", "splitdim")]);
    let spread = objects.pod("splitdim").topology_spread_constraints;
    let spread = spread.expect("they are spread");
    let keys: Vec<_> = spread.iter().map(|it| &*it.topology_key).collect();
    assert_eq!(
        keys,
        ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    );
    for constraint in &spread {
        assert_eq!(constraint.max_skew, 1);
        assert_eq!(
            labels(constraint.label_selector.as_ref()),
            [("app", "splitdim")]
        );
    }
}

#[test]
fn a_reset_needs_the_operators_token() {
    let Some(objects) = production() else { return };
    let pod = objects.pod("splitdim");
    assert_eq!(value(&pod, "SPLITDIM_RESET"), Some("token"));
    let token = variable(&pod, "SPLITDIM_RESET_TOKEN").expect("it is told the token");
    assert_eq!(token.value, None, "a token is in no file");
    let source = token
        .value_from
        .as_ref()
        .and_then(|it| it.secret_key_ref.as_ref());
    let source = source.expect("it comes from a secret");
    assert_eq!((&*source.name, &*source.key), ("splitdim-reset", "token"));
    assert_eq!(source.optional, None, "without the secret, no pod starts");
    assert_eq!(objects.names("Secret"), [""; 0]);
}

#[test]
fn nothing_passes_by_default() {
    let policy = policy("splitdim-default-deny");
    let Some(policy) = policy else { return };
    let selected = labels(policy.pod_selector.as_ref());
    assert_eq!(selected, [("app.kubernetes.io/part-of", "splitdim")]);
    let types = policy.policy_types.expect("both ways are named");
    assert_eq!(types, ["Ingress", "Egress"]);
    assert_eq!((policy.ingress, policy.egress), (None, None));

    // What it selects is all that we deploy.
    let objects = production().expect("it was there a moment ago");
    for object in &objects.0 {
        let template = &object["spec"]["template"]["metadata"]["labels"];
        assert!(template.is_null() || template["app.kubernetes.io/part-of"] == "splitdim");
    }
}

#[test]
fn these_are_all_openings() {
    let Some(objects) = production() else { return };
    let mut names = objects.names("NetworkPolicy");
    names.sort_unstable();
    let known = [
        "kvstore",
        "splitdim",
        "splitdim-default-deny",
        "splitdim-metrics",
    ];
    assert_eq!(names, known);
}

#[test]
fn splitdim_is_open_to_all_and_talks_to_the_store_and_asks_for_names() {
    let Some(policy) = policy("splitdim") else {
        return;
    };
    assert_eq!(labels(policy.pod_selector.as_ref()), [("app", "splitdim")]);
    let ingress = policy.ingress.expect("something gets in");
    let [everybody] = &ingress[..] else {
        panic!("one way in: {ingress:?}");
    };
    assert_eq!(everybody.from, None);
    assert_eq!(ports(everybody.ports.as_ref()), [("TCP", 8080)]);

    let egress = policy.egress.expect("something gets out");
    let [store, names] = &egress[..] else {
        panic!("two ways out: {egress:?}");
    };
    assert_eq!(peers(store.to.as_ref()), [(None, Some("kvstore"))]);
    assert_eq!(ports(store.ports.as_ref()), [("TCP", 8081)]);
    assert_eq!(
        peers(names.to.as_ref()),
        [(Some("kube-system"), Some("kube-dns"))]
    );
    assert_eq!(ports(names.ports.as_ref()), [("UDP", 53), ("TCP", 53)]);
}

#[test]
fn only_splitdim_gets_to_the_store() {
    let Some(policy) = policy("kvstore") else {
        return;
    };
    assert_eq!(labels(policy.pod_selector.as_ref()), [("app", "kvstore")]);
    assert_eq!(policy.egress, None);
    let ingress = policy.ingress.expect("something gets in");
    let [splitdim] = &ingress[..] else {
        panic!("one way in: {ingress:?}");
    };
    assert_eq!(peers(splitdim.from.as_ref()), [(None, Some("splitdim"))]);
    assert_eq!(ports(splitdim.ports.as_ref()), [("TCP", 8081)]);
}

#[test]
fn only_monitoring_gets_to_the_metrics() {
    let Some(policy) = policy("splitdim-metrics") else {
        return;
    };
    assert_eq!(policy.egress, None);
    let ingress = policy.ingress.expect("something gets in");
    let [monitoring] = &ingress[..] else {
        panic!("one way in: {ingress:?}");
    };
    assert_eq!(
        peers(monitoring.from.as_ref()),
        [(Some("monitoring"), None)]
    );
    assert_eq!(ports(monitoring.ports.as_ref()), [("TCP", 9090)]);
}

fn policy(name: &str) -> Option<NetworkPolicySpec> {
    let policy: NetworkPolicy = production()?.get("NetworkPolicy", name);
    Some(policy.spec.expect("it has one"))
}

type Selector = k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

fn labels(selector: Option<&Selector>) -> Vec<(&str, &str)> {
    let selector = selector.expect("it selects");
    assert_eq!(selector.match_expressions, None);
    let labels = selector.match_labels.iter().flatten();
    labels.map(|(key, value)| (&**key, &**value)).collect()
}

/// The namespace and the app of each.
fn peers(peers: Option<&Vec<NetworkPolicyPeer>>) -> Vec<(Option<&str>, Option<&str>)> {
    fn one(selector: &Selector) -> &str {
        match labels(Some(selector))[..] {
            [(_, value)] => value,
            ref others => panic!("one label selects here: {others:?}"),
        }
    }
    let peers = peers.expect("they are named").iter();
    peers
        .map(|peer| {
            assert_eq!(peer.ip_block, None);
            let namespace = peer.namespace_selector.as_ref().map(one);
            (namespace, peer.pod_selector.as_ref().map(one))
        })
        .collect()
}

fn ports(ports: Option<&Vec<NetworkPolicyPort>>) -> Vec<(&str, i32)> {
    let ports = ports.expect("they are named").iter();
    ports
        .map(|port| {
            assert_eq!(port.end_port, None);
            let Some(IntOrString::Int(number)) = port.port else {
                panic!("a port is a number here: {port:?}");
            };
            (port.protocol.as_deref().unwrap_or_default(), number)
        })
        .collect()
}
