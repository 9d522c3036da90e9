//! Where a transfer can be found after it was answered, in every mode.

use crate::common::http::{Answer, get, header, post, request};
use crate::common::kvstore::Kvstore;
use crate::common::splitdim::Splitdim;
use axum::http::Method;

const TRANSFER: &str = r#"{"sender":"a","receiver":"b","amount":1}"#;

#[tokio::test]
async fn a_transfer_tells_where_it_is_and_there_it_is_done() {
    let store = Kvstore::on_disk(&[]);
    for mode in ["resilientkvstore", "kvstore", "transactionalkvstore"] {
        let replica = Splitdim::replica(mode, store.address, &[]);
        let other = Splitdim::replica("resilientkvstore", store.address, &[]);
        let place = made(&replica).await;
        // Whoever is asked.
        assert_done(&replica, &place).await;
        assert_done(&other, &place).await;
        assert_ne!(made(&replica).await, place, "{mode}");
    }
}

#[tokio::test]
async fn so_does_one_of_a_ledger_in_this_process_and_still_after_a_restart() {
    let mut splitdim = Splitdim::on_disk(&[]);
    let place = made(&splitdim).await;
    assert_done(&splitdim, &place).await;
    splitdim.process.kill();
    splitdim.restart();
    assert_done(&splitdim, &place).await;
}

#[tokio::test]
async fn what_is_no_transfer_is_not_found() {
    let stores = [0, 1].map(|_| Kvstore::on_disk(&[]));
    for splitdim in [
        Splitdim::in_memory(&[]),
        Splitdim::replica("resilientkvstore", stores[0].address, &[]),
        Splitdim::replica("transactionalkvstore", stores[1].address, &[]),
    ] {
        let place = made(&splitdim).await;
        let never = "/api/v1/transfers/01890000-0000-7000-8000-000000000000";
        let cut_off = &place[..place.len() - 1];
        for path in [never, cut_off, "/api/v1/transfers/a", "/api/v1/transfers/"] {
            assert_eq!(ask(&splitdim, path).await.status(), 404, "{path}");
        }
        // What was refused has no place, and is not made later.
        let refused = post("/api/transfer", TRANSFER.replace('1', "0"));
        let refused = splitdim.connect().await.call(&refused).await.unwrap();
        assert_eq!(refused.status(), 400);
        assert_eq!(header(&refused, "location"), None);
        assert_eq!(splitdim.balances().await.0["a"], 1);
    }
}

#[tokio::test]
async fn a_place_can_only_be_looked_at() {
    let splitdim = Splitdim::in_memory(&[]);
    let place = made(&splitdim).await;
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let request = request(method.clone(), &place, "");
        let answer = splitdim.connect().await.call(&request).await.unwrap();
        assert_eq!(answer.status(), 405, "{method}");
        assert!(header(&answer, "allow").is_some(), "{method}");
    }
    assert_done(&splitdim, &place).await;
}

/// Makes a transfer: where it can be found.
async fn made(splitdim: &Splitdim) -> String {
    let request = post("/api/transfer", TRANSFER);
    let answer = splitdim
        .connect()
        .await
        .call(&request)
        .await
        .expect("it answers");
    assert_eq!(
        (answer.status().as_u16(), &answer.body()[..]),
        (200, &b""[..])
    );
    let place = header(&answer, "location").expect("it tells where it is");
    let id = place
        .strip_prefix("/api/v1/transfers/")
        .expect("it is there");
    let id: uuid::Uuid = id.parse().expect("it has an id");
    assert_eq!(id.get_version_num(), 7);
    place.to_owned()
}

async fn assert_done(splitdim: &Splitdim, place: &str) {
    let answer = ask(splitdim, place).await;
    let id = place.rsplit('/').next().unwrap_or_default();
    let expected = format!(r#"{{"id":"{id}","status":"done"}}"#);
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), Some("application/json"));
    assert_eq!(String::from_utf8_lossy(answer.body()), expected);
}

async fn ask(splitdim: &Splitdim, path: &str) -> Answer {
    let answer = splitdim.connect().await.call(&get(path)).await;
    answer.expect("it answers")
}
