//! One replica with the ledger in its own process.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::objects::{Objects, container, value};

#[test]
fn there_is_one_process_and_one_owner_of_the_volume_at_a_time() {
    let Some(objects) = Objects::rendered("overlays/local") else {
        return;
    };
    let deployment: Deployment = objects.get("Deployment", "splitdim");
    let spec = deployment.spec.expect("it has one");
    assert_eq!(spec.replicas, Some(1));
    let strategy = spec.strategy.expect("it has one");
    assert_eq!(strategy.type_.as_deref(), Some("Recreate"));
    assert_eq!(strategy.rolling_update, None);
    assert_eq!(objects.names("StatefulSet"), [""; 0]);
    assert_eq!(objects.names("Service"), ["splitdim"]);
}

#[test]
fn the_ledger_is_in_the_process_on_a_claimed_volume() {
    let Some(objects) = Objects::rendered("overlays/local") else {
        return;
    };
    let map: ConfigMap = objects.get("ConfigMap", "splitdim-config");
    assert_eq!(map.data.expect("it has data")["kvstoreMode"], "local");
    let pod = objects.pod("splitdim");
    let mount = &container(&pod)
        .volume_mounts
        .as_ref()
        .expect("it is mounted")[0];
    assert_eq!(value(&pod, "SPLITDIM_DATA"), Some(&*mount.mount_path));
    let volumes = pod.volumes.as_ref().expect("it has a volume");
    let volume = volumes.iter().find(|volume| volume.name == mount.name);
    let claim = volume.and_then(|it| it.persistent_volume_claim.as_ref());
    let claim = claim.map(|it| &*it.claim_name);
    assert_eq!(
        objects.names("PersistentVolumeClaim"),
        Vec::from_iter(claim)
    );
}
