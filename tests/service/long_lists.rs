//! Lists that are longer than what is read, or sent, of them at a time.

use std::time::Duration;

use crate::common::kvstore::{Kvstore, client, service};
use crate::kv_client::{serve_routes, serve_store};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use http_body_util::channel::Channel;
use splitdim::kv::wire;
use splitdim::kv::{Entry, Kv, KvClient, KvError, KvService, Listed, Put, Range, spawn_embedded};
use splitdim::store::{Disk, Memory};
use tokio::time::sleep;

const PAGE: usize = 1024;

const ALL: usize = 3 * PAGE;

const LONG: usize = 6 * PAGE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_of_one_commit_wherever_their_pages_end() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let disk = Disk::open(directory.path()).expect("it opens");
    let server = Kvstore::on_disk(&[]);
    for kv in [
        Kv::new(spawn_embedded(Memory::new()).0),
        Kv::new(spawn_embedded(disk).0),
        server.client(),
    ] {
        for first in (0..ALL).step_by(PAGE) {
            let puts = (first..first + PAGE).map(|at| Put::new(key(at), "before", 0));
            let made = kv.transaction(puts.collect(), None).await;
            made.expect("nothing is there");
        }
        let limits = [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, ALL, ALL + 1];
        for limit in limits.map(Some).into_iter().chain([None]) {
            for start in [0, 1, PAGE, ALL] {
                let range = Range {
                    limit,
                    ..Range::from(&key(start))
                };
                let listed: Vec<_> = entries(&kv, range).await;
                let expected = (start..ALL).take(limit.unwrap_or(ALL));
                let expected: Vec<_> = expected.map(key).collect();
                let keys: Vec<_> = listed.iter().map(|entry| &*entry.key).collect();
                assert_eq!(keys, expected, "{limit:?} from {start}");
            }
        }

        let begun = kv.list(Range::default(), None).await.expect("it lists");
        for at in [0, ALL - 1] {
            let after = Put::new(key(at), "after", 1);
            kv.put(after, None).await.expect("nobody else writes");
        }
        let more = Put::new(key(ALL), "more", 0);
        kv.put(more, None).await.expect("nothing is there");
        let Listed::Entries(begun, Some(stamp)) = begun else {
            panic!("something has changed since nothing");
        };
        let before = begun.all().await.expect("it lists to its end");
        assert_eq!(before.len(), ALL);
        assert!(before.iter().all(|entry| &*entry.value == "before"));
        // Three writes before, three after.
        assert_eq!(stamp.revision, 3);
        assert_eq!(entries(&kv, Range::default()).await.len(), ALL + 1);
    }
}

#[tokio::test]
async fn one_that_is_read_slowly_is_read_to_its_end() {
    let server = Kvstore::in_memory(&[]);
    let kv = KvClient::new(&server.address.to_string(), Duration::from_millis(250));
    let kv = Kv::new(KvService::new(kv.expect("a client can be made")));
    let value = "x".repeat(1000);
    for first in (0..LONG).step_by(100) {
        let puts = (first..LONG.min(first + 100)).map(|at| Put::new(key(at), value.as_str(), 0));
        let made = server.client().transaction(puts.collect(), None).await;
        made.expect("nothing is there");
    }
    let Ok(Listed::Entries(mut entries, _)) = kv.list(Range::default(), None).await else {
        panic!("it lists");
    };
    let mut read = 0;
    while let Some(page) = entries.next_page().await {
        read += page.expect("it lists to its end").len();
        // All of them together take longer than it waits for a list to begin.
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(read, LONG);
}

#[tokio::test]
async fn one_that_is_cut_off_is_no_shorter_one() {
    let entry = |at| format!(r#"{{"key":"{}","value":"1","version":1}}"#, key(at));
    let begin: Vec<_> = (0..2 * PAGE).map(entry).collect();
    let begin = format!("[{}", begin.join(","));
    for (sent, is_aborted) in [
        (begin.clone(), true),
        (begin.clone(), false),
        (begin + ",", false),
    ] {
        let list = async move || {
            let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(1);
            tokio::spawn(async move {
                sender.send_data(sent.into()).await.expect("somebody reads");
                if is_aborted {
                    sender.abort(std::io::ErrorKind::Other.into());
                }
            });
            let stamp = [(wire::EPOCH, "1"), (wire::REVISION, "1")];
            (stamp, Body::new(body))
        };
        let routes = Router::new().route("/api/list", get(list));
        let store = serve_routes(routes).await;
        // A server that hands on what the store under it has.
        let through = serve_store(service(store)).await;
        for address in [store, through] {
            let listed = match client(address).list(Range::default(), None).await {
                Ok(Listed::Entries(entries, _)) => entries.all().await,
                Ok(Listed::Unchanged) => panic!("something has changed since nothing"),
                Err(error) => Err(error),
            };
            assert!(matches!(listed, Err(KvError::Unavailable(_))), "{listed:?}");
        }
        // Nor to those who do not look whether it is whole.
        let list = format!("http://{through}/api/list");
        let whole = async || reqwest::get(list).await?.error_for_status()?.bytes().await;
        let whole = whole().await;
        assert!(whole.is_err(), "{} bytes", whole.unwrap().len());
    }
}

async fn entries(kv: &Kv, range: Range) -> Vec<Entry> {
    match kv.list(range, None).await.expect("it lists") {
        Listed::Entries(entries, _) => entries.all().await.expect("it lists to its end"),
        Listed::Unchanged => panic!("something has changed since nothing"),
    }
}

fn key(at: usize) -> String {
    format!("key {at:05}")
}
