//! The manifests in `k8s/`: each is what Kubernetes, Istio, Prometheus and kustomize take, without a
//! field that they would not know, and what is deployed has the properties that it must have.

#![expect(clippy::print_stdout, reason = "what was not looked at, and why")]

mod alerts;
mod base;
mod chaos;
mod files;
mod istio;
mod local;
mod pods;
mod production;
mod settings;

mod documents;
mod objects;
mod schema;
