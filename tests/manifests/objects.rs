//! What is deployed.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, PodSpec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::documents::{files_below, parse, read, root};

/// Objects that are deployed together.
pub(crate) struct Objects(pub(crate) Vec<Value>);

impl Objects {
    /// The objects in the files of `directory`.
    pub(crate) fn written(directory: &str) -> Self {
        let files = files_below(&root().join(directory)).into_iter();
        let manifests = files.filter(|path| !path.ends_with("kustomization.yaml"));
        Self(manifests.flat_map(|path| read(&path)).collect())
    }

    /// The objects that `kubectl apply -k` of `directory` makes; `None` where there is no kubectl.
    pub(crate) fn rendered(directory: &str) -> Option<Self> {
        let kubectl = Command::new("kubectl")
            .arg("kustomize")
            .arg(root().join(Path::new(directory)))
            .output();
        let output = match kubectl {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                println!("k8s/{directory} was not rendered: there is no kubectl here");
                return None;
            }
            output => output.expect("kubectl runs"),
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "k8s/{directory}: {said}");
        assert_eq!(said, "", "k8s/{directory}: kubectl warns");
        let text = String::from_utf8(output.stdout).expect("manifests are text");
        Some(Self(parse(&text).expect("kubectl writes YAML")))
    }

    /// The object of this kind and name.
    pub(crate) fn get<T: DeserializeOwned>(&self, kind: &str, name: &str) -> T {
        let mut found = self.of_kind(kind).filter(|object| named(object) == name);
        let object = found
            .next()
            .unwrap_or_else(|| panic!("there is no {kind} {name}"));
        assert!(found.next().is_none(), "there are two {kind} {name}");
        serde_json::from_value(object.clone()).expect("its schema was checked")
    }

    /// The names of all objects of this kind.
    pub(crate) fn names(&self, kind: &str) -> Vec<&str> {
        self.of_kind(kind).map(named).collect()
    }

    /// The specification of every pod, under the name of what makes it.
    pub(crate) fn pods(&self) -> Vec<(String, PodSpec)> {
        let deployments = self.of_kind("Deployment").map(|object| {
            let deployment: Deployment = self.get("Deployment", named(object));
            (
                named(object),
                deployment.spec.unwrap_or_default().template.spec,
            )
        });
        let stateful = self.of_kind("StatefulSet").map(|object| {
            let set: StatefulSet = self.get("StatefulSet", named(object));
            (named(object), set.spec.unwrap_or_default().template.spec)
        });
        let plain = self.of_kind("Pod").map(|object| {
            let pod: Pod = self.get("Pod", named(object));
            (named(object), pod.spec)
        });
        deployments
            .chain(stateful)
            .chain(plain)
            .map(|(name, spec)| (name.to_owned(), spec.expect("a pod has a specification")))
            .collect()
    }

    /// The pod that the workload `name` makes.
    pub(crate) fn pod(&self, name: &str) -> PodSpec {
        let found = self.pods().into_iter().find(|(owner, _)| owner == name);
        found
            .unwrap_or_else(|| panic!("there is no pod of {name}"))
            .1
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }
}

/// The one container of `pod`.
pub(crate) fn container(pod: &PodSpec) -> &Container {
    match &pod.containers[..] {
        [container] => container,
        others => panic!("{} containers instead of one", others.len()),
    }
}

/// The variable `name` of the one container of `pod`.
pub(crate) fn variable<'a>(pod: &'a PodSpec, name: &str) -> Option<&'a EnvVar> {
    let mut variables = container(pod).env.iter().flatten();
    variables.find(|variable| variable.name == name)
}

/// The plain value of the variable `name`.
pub(crate) fn value<'a>(pod: &'a PodSpec, name: &str) -> Option<&'a str> {
    variable(pod, name)?.value.as_deref()
}

fn named(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("it has a name")
}
