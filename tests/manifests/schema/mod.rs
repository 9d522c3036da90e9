//! Whether an object is what its kind says, and nothing besides.

mod istio;
mod kustomize;
mod object;
mod prometheus;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use istio::{Action, AuthorizationPolicy, PeerAuthentication, TlsMode, VirtualService};
pub(crate) use kustomize::Kustomization;
pub(crate) use prometheus::{PodMonitor, PrometheusRule, Rule as AlertRule};

/// How much of an object is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// What a patch changes.
    Patch,
}

/// Checks `object` against its kind.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn check(object: &Value, extent: Extent) -> Result<(), String> {
    if object.is_array() {
        return round_trip::<kustomize::Operations>(object).map(drop);
    }
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        ("v1", "ConfigMap") => kubernetes::<ConfigMap>(object, extent),
        ("v1", "PersistentVolumeClaim") => kubernetes::<PersistentVolumeClaim>(object, extent),
        ("v1", "Pod") => kubernetes::<Pod>(object, extent),
        ("v1", "Service") => kubernetes::<Service>(object, extent),
        ("v1", "ServiceAccount") => kubernetes::<ServiceAccount>(object, extent),
        ("apps/v1", "Deployment") => kubernetes::<Deployment>(object, extent),
        ("apps/v1", "StatefulSet") => kubernetes::<StatefulSet>(object, extent),
        ("networking.k8s.io/v1", "NetworkPolicy") => kubernetes::<NetworkPolicy>(object, extent),
        ("policy/v1", "PodDisruptionBudget") => kubernetes::<PodDisruptionBudget>(object, extent),
        ("networking.istio.io/v1", "VirtualService") => {
            round_trip::<VirtualService>(object).map(drop)
        }
        ("security.istio.io/v1", "PeerAuthentication") => {
            round_trip::<PeerAuthentication>(object).map(drop)
        }
        ("security.istio.io/v1", "AuthorizationPolicy") => {
            round_trip::<AuthorizationPolicy>(object).map(drop)
        }
        ("monitoring.coreos.com/v1", "PodMonitor") => round_trip::<PodMonitor>(object).map(drop),
        ("monitoring.coreos.com/v1", "PrometheusRule") => {
            round_trip::<PrometheusRule>(object).map(drop)
        }
        ("kustomize.config.k8s.io/v1beta1", "Kustomization")
        | ("kustomize.config.k8s.io/v1alpha1", "Component") => {
            round_trip::<Kustomization>(object).map(drop)
        }
        (version, kind) => Err(format!("nothing is known of {kind:?} of {version:?}")),
    }
}

/// Types of Kubernetes take unknown fields and drop them; and fill in what is missing.
fn kubernetes<T: Serialize + DeserializeOwned>(
    object: &Value,
    extent: Extent,
) -> Result<(), String> {
    let again = round_trip::<T>(object)?;
    match extent == Extent::Whole && again != *object {
        true => Err(format!("something is missing that was filled in: {again}")),
        false => Ok(()),
    }
}

/// `object` as its type writes it; an error if a field was lost on the way.
fn round_trip<T: Serialize + DeserializeOwned>(object: &Value) -> Result<Value, String> {
    let typed: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    let again = serde_json::to_value(typed).map_err(|error| error.to_string())?;
    match lost("", object, &again) {
        Some(path) => Err(format!("{path} is unknown, or of another type")),
        None => Ok(again),
    }
}

/// The path of the first thing in `before` that is not in `after`.
fn lost(path: &str, before: &Value, after: &Value) -> Option<String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match after.get(key) {
                Some(after) => lost(&path, value, after),
                None => Some(path),
            }
        }),
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => before
            .iter()
            .zip(after)
            .enumerate()
            .find_map(|(at, (before, after))| lost(&format!("{path}[{at}]"), before, after)),
        _ => (before != after).then(|| path.to_owned()),
    }
}
