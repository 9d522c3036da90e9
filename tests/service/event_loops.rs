//! A server on several threads gives each its share of the connections.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::common::http::{Connection, get};
use crate::common::splitdim::Splitdim;
use axum::Router;
use axum::routing::get as route;
use resilient::detach::Tracker;
use splitdim::serve::{self, EventLoops, Limits};
use tokio::net::TcpListener;
use tokio::time::sleep;

const THREADS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn connections_are_spread_evenly_and_stay_where_they_are() {
    let address = server_that_tells_its_thread().await;
    let mut connections = Vec::new();
    let mut threads = Vec::new();
    for _ in 0..2 * THREADS {
        let mut connection = connect(address).await;
        threads.push(thread_of(&mut connection).await);
        connections.push(connection);
    }
    assert_eq!(counts(&threads), vec![2; THREADS]);
    for (connection, thread) in connections.iter_mut().zip(&threads) {
        for _ in 0..10 {
            assert_eq!(&thread_of(connection).await, thread);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_comes_takes_the_place_of_who_has_gone() {
    let address = server_that_tells_its_thread().await;
    let mut connections = Vec::new();
    for _ in 0..4 * THREADS {
        let mut connection = connect(address).await;
        let thread = thread_of(&mut connection).await;
        connections.push((connection, thread));
    }
    // All of one thread leave.
    let left = connections[0].1.clone();
    connections.retain(|(_, thread)| *thread != left);
    // Nothing tells a client when the server has noticed.
    sleep(Duration::from_millis(500)).await;
    for _ in 0..4 {
        let mut connection = connect(address).await;
        assert_eq!(thread_of(&mut connection).await, left);
        connections.push((connection, left.clone()));
    }
}

#[tokio::test]
async fn a_server_of_many_threads_stops_when_it_is_told() {
    let mut splitdim = Splitdim::in_memory(&["--threads", "5"]);
    let mut connections = Vec::new();
    for _ in 0..10 {
        let mut connection = splitdim.connect().await;
        let answer = connection.call(&get("/healthz")).await.unwrap();
        assert_eq!(answer.status(), 200);
        connections.push(connection);
    }
    splitdim.stop().await;
    for connection in &mut connections {
        assert!(connection.is_ended().await);
    }
}

/// Three event loops that answer with the name of the thread that serves.
async fn server_that_tells_its_thread() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let limits = Limits {
        idle_timeout: Duration::from_secs(60),
        max_connections: 100,
        grace_period: Duration::ZERO,
    };
    let app = Router::new().route("/", route(async || format!("{:?}", thread::current().id())));
    tokio::spawn(async move {
        let event_loops = EventLoops::start(THREADS).expect("there is room for a few threads");
        let running = Tracker::new();
        serve::run(listener, app, &event_loops, running, limits, pending()).await
    });
    address
}

async fn connect(address: SocketAddr) -> Connection {
    Connection::open(address).await.expect("the server listens")
}

async fn thread_of(connection: &mut Connection) -> String {
    let answer = connection.call(&get("/")).await.expect("it is served");
    String::from_utf8(answer.into_body().to_vec()).expect("the name of a thread is text")
}

/// How many of `threads` are the same, for each.
fn counts(threads: &[String]) -> Vec<usize> {
    let mut counts = BTreeMap::new();
    for thread in threads {
        *counts.entry(thread).or_insert(0) += 1;
    }
    counts.into_values().collect()
}
