//! Every file is what it claims to be.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::documents::{files_below, parse, read, root};
use crate::objects::Objects;
use crate::schema::{Extent, Kustomization, check};

/// What can be applied by `kubectl apply -k`.
const DEPLOYABLE: [&str; 8] = [
    "",
    "base",
    "overlays/local",
    "overlays/production",
    "overlays/istio",
    "overlays/chaos",
    "monitoring",
    "restore",
];

#[test]
fn every_file_has_the_fields_of_its_kind_and_no_others() {
    let files = files_below(&root());
    assert!(files.len() > 20, "they are looked for in the right place");
    let patches = patches();
    assert!(patches.len() > 5, "{patches:?}");
    for path in files {
        let extent = match patches.contains(&path) {
            true => Extent::Patch,
            false => Extent::Whole,
        };
        let documents = read(&path);
        assert!(!documents.is_empty(), "{} is empty", path.display());
        for document in documents {
            check(&document, extent).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}

#[test]
fn what_is_deployed_has_the_fields_of_its_kind_and_no_others() {
    for directory in DEPLOYABLE {
        let Some(Objects(objects)) = Objects::rendered(directory) else {
            return;
        };
        assert!(!objects.is_empty());
        for object in objects {
            check(&object, Extent::Whole)
                .unwrap_or_else(|error| panic!("k8s/{directory}: {error}"));
            // Where nobody says where, it would depend on who applies it.
            assert_eq!(object["metadata"]["namespace"], "default", "{object}");
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/part-of"], "splitdim", "{object}");
        }
    }
}

#[test]
fn every_kustomization_is_rendered_or_part_of_one_that_is() {
    for (directory, kustomization) in kustomizations() {
        let below = directory.strip_prefix(root()).expect("it is in there");
        let is_part = kustomization.kind == "Component";
        assert!(
            is_part || DEPLOYABLE.iter().any(|known| Path::new(known) == below),
            "{} is not looked at",
            below.display()
        );
    }
}

#[test]
fn every_field_that_is_misspelt_is_found() {
    for path in files_below(&root()) {
        for document in read(&path) {
            let mut places = Vec::new();
            fields("", &document, &mut places);
            for place in places {
                let mut misspelt = document.clone();
                rename(&mut misspelt, &place);
                assert!(
                    check(&misspelt, Extent::Patch).is_err(),
                    "{}: {place} may be misspelt",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn a_value_of_another_type_and_a_missing_field_are_found() {
    let service = |port: Value| json!({ "apiVersion": "v1", "kind": "Service", "spec": { "ports": [{ "port": port }] } });
    let found = |port| check(&service(port), Extent::Patch).is_err();
    assert!(!found(json!(80)));
    assert!(found(json!("80")));
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {},
        "spec": { "selector": {}, "template": {} },
    });
    assert_eq!(check(&deployment, Extent::Whole), Ok(()));
    let mut incomplete = deployment;
    let spec = incomplete["spec"].as_object_mut();
    spec.expect("it is an object").remove("selector");
    assert!(check(&incomplete, Extent::Whole).is_err());
    assert!(parse("a: 1\na: 2\n").is_err(), "a key may come twice");
}

/// The files that change objects of others.
fn patches() -> Vec<PathBuf> {
    let patches = kustomizations().into_iter().flat_map(|(directory, it)| {
        let paths = it.patches.into_iter().filter_map(|patch| patch.path);
        paths.map(move |path| directory.join(path))
    });
    patches.collect()
}

fn kustomizations() -> Vec<(PathBuf, Kustomization)> {
    let files = files_below(&root()).into_iter();
    let files = files.filter(|path| path.ends_with("kustomization.yaml"));
    let read = |path: PathBuf| {
        let document = read(&path).remove(0);
        let kustomization = serde_json::from_value(document)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let directory = path.parent().expect("a file is in a directory");
        (directory.to_owned(), kustomization)
    };
    files.map(read).collect()
}

/// JSON pointers to all fields below `value`, except in maps whose keys are free.
fn fields(at: &str, value: &Value, found: &mut Vec<String>) {
    const FREE: [&str; 10] = [
        "labels",
        "matchLabels",
        "annotations",
        "selector",
        "data",
        "pairs",
        "requests",
        "limits",
        "portLevelMtls",
        "value",
    ];
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let place = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                if !FREE.contains(&&**key) {
                    fields(&place, value, found);
                }
                found.push(place);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                fields(&format!("{at}/{index}"), item, found);
            }
        }
        _ => {}
    }
}

/// Misspells the field at `place`.
fn rename(document: &mut Value, place: &str) {
    let (parent, key) = place.rsplit_once('/').expect("a pointer has a slash");
    let key = key.replace("~1", "/").replace("~0", "~");
    let parent = document.pointer_mut(parent).and_then(Value::as_object_mut);
    let parent = parent.expect("fields are in objects");
    let value = parent.remove(&key).expect("the field is there");
    parent.insert(format!("{key}x"), value);
}
