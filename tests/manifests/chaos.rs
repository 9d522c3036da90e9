//! The mesh that fails a third of the puts.

use k8s_openapi::api::core::v1::ConfigMap;

use crate::objects::Objects;
use crate::schema::VirtualService;

#[test]
fn a_third_of_the_puts_fails_and_the_mesh_hides_none() {
    let written = Objects::written("overlays/chaos");
    let service: VirtualService = written.get("VirtualService", "kvstore-500");
    assert_eq!(service.spec.hosts, ["kvstore"]);
    let [puts, others] = &service.spec.http[..] else {
        panic!("two routes: {service:?}");
    };
    let matches = puts.matches.as_ref().expect("it is for puts only");
    assert_eq!(matches.len(), 1);
    assert_eq!(matches[0].uri.exact, "/api/put");
    let abort = &puts.fault.as_ref().expect("they fail").abort;
    assert_eq!((abort.http_status, abort.percentage.value), (500, 33));
    assert!(others.matches.is_none() && others.fault.is_none());
    for route in [puts, others] {
        assert_eq!(route.retries.as_ref().map(|it| it.attempts), Some(0));
        assert_eq!(route.route[0].destination.host, "kvstore");
    }
}

#[test]
fn transfers_are_made_in_single_puts() {
    let Some(objects) = Objects::rendered("overlays/chaos") else {
        return;
    };
    let map: ConfigMap = objects.get("ConfigMap", "splitdim-config");
    assert_eq!(
        map.data.expect("it has data")["kvstoreMode"],
        "resilientkvstore"
    );
    // Of two for one host a mesh heeds one.
    assert_eq!(objects.names("VirtualService"), ["kvstore-500"]);
}
