//! Clients that hold connections without use, or send without end, do not keep others out.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::http::{Connection, bytes, get, header, post};
use crate::common::kvstore::{self, Kvstore};
use crate::common::process::Process;
use crate::common::proxy::{Fate, Proxy};
use crate::common::splitdim::{self, Splitdim};
use ::splitdim::serve::{self, Limits};
use axum::Router;
use axum::body::Bytes;
use axum::http::Method;
use axum::routing::{any, get as route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// The shortest that there is.
const IDLE_SOON: [&str; 2] = ["--idle-timeout", "5s"];

/// What the slow ones wait for between two bytes.
const TRICKLE: Duration = Duration::from_millis(100);

#[tokio::test]
async fn an_idle_connection_is_cut() {
    let splitdim = Splitdim::in_memory(&IDLE_SOON);
    let (mut served, mut silent) = (served(&splitdim).await, splitdim.connect().await);
    assert!(served.is_ended().await);
    assert!(silent.is_ended().await);
    assert_served(&splitdim).await;
}

#[tokio::test]
async fn a_connection_in_use_is_not_cut() {
    let splitdim = Splitdim::in_memory(&IDLE_SOON);
    let mut client = splitdim.connect().await;
    for _ in 0..70 {
        sleep(TRICKLE).await;
        assert_eq!(client.call(&get("/healthz")).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn headers_that_trickle_are_cut() {
    let splitdim = Splitdim::in_memory(&IDLE_SOON);
    let mut client = splitdim.connect().await;
    client
        .write(b"GET /healthz HTTP/1.1\r\nx-slow: ")
        .await
        .unwrap();
    assert_cut_while_trickling(client).await;
    assert_served(&splitdim).await;
}

#[tokio::test]
async fn a_body_that_trickles_is_cut() {
    let splitdim = Splitdim::in_memory(&IDLE_SOON);
    let mut client = served(&splitdim).await;
    let head = "POST /api/transfer HTTP/1.1\r\nhost: x\r\ncontent-length: 8000\r\n\r\n";
    client.write(head.as_bytes()).await.unwrap();
    assert_cut_while_trickling(client).await;
    assert_served(&splitdim).await;
}

#[tokio::test]
async fn a_new_client_takes_the_place_of_the_longest_idle() {
    let splitdim = Splitdim::in_memory(&["--max-connections", "20"]);
    let mut longest_idle = served(&splitdim).await;
    // Idle times are compared in milliseconds.
    sleep(Duration::from_millis(20)).await;
    let mut others = Vec::new();
    for _ in 1..20 {
        others.push(served(&splitdim).await);
    }
    assert_served(&splitdim).await;
    assert!(longest_idle.is_ended().await);
    for other in &mut others {
        assert_eq!(other.call(&get("/healthz")).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn who_waits_for_an_answer_is_not_cut_for_those_who_are_silent() {
    let store = Kvstore::in_memory(&[]);
    let proxy = Proxy::start(store.address).await;
    proxy.rule(|seen| match seen.path {
        "/api/transaction" => Fate::SlowAnswer(Duration::from_millis(900)),
        _ => Fate::Pass,
    });
    let mode = "transactionalkvstore";
    let splitdim = Splitdim::replica(mode, proxy.address, &["--max-connections", "3"]);
    let mut waiting = splitdim.connect().await;
    let transfer = post(
        "/api/transfer",
        r#"{"sender":"a","receiver":"b","amount":1}"#,
    );
    let answer = tokio::spawn(async move { waiting.call(&transfer).await });
    sleep(Duration::from_millis(50)).await;
    let mut silent = vec![splitdim.connect().await, splitdim.connect().await];
    // They are not new any more.
    sleep(Duration::from_millis(200)).await;
    for _ in 0..2 {
        silent.push(splitdim.connect().await);
    }
    assert!(silent[0].is_ended().await && silent[1].is_ended().await);
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn who_reads_a_long_answer_slowly_is_not_cut_for_those_who_are_silent() {
    let address = server(3).await;
    let mut slow = Connection::open(address).await.unwrap();
    slow.write(&bytes(&get("/long"))).await.unwrap();
    // Until more was sent than there is room between the two.
    sleep(Duration::from_millis(400)).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        let mut client = Connection::open(address).await.unwrap();
        client.write(b"G").await.unwrap();
        silent.push(client);
        // It is not new any more.
        sleep(Duration::from_millis(200)).await;
    }
    assert!(silent[0].is_ended().await && silent[1].is_ended().await);
    let answer = slow.answer(&Method::GET).await.unwrap();
    assert_eq!(answer.body().len(), LONG);
}

#[tokio::test]
async fn who_waits_for_the_second_answer_of_two_is_not_cut_for_those_who_are_silent() {
    let address = server(3).await;
    let mut waiting = Connection::open(address).await.unwrap();
    let requests = [get("/"), get("/late")];
    let together: Vec<_> = requests.iter().flat_map(bytes).collect();
    waiting.write(&together).await.unwrap();
    assert_eq!(waiting.answer(&Method::GET).await.unwrap().status(), 200);
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(Connection::open(address).await.unwrap());
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(waiting.answer(&Method::GET).await.unwrap().status(), 200);
    assert!(silent[0].is_ended().await && silent[1].is_ended().await);
    // It is silent itself now.
    silent.push(Connection::open(address).await.unwrap());
    sleep(Duration::from_millis(200)).await;
    silent.push(Connection::open(address).await.unwrap());
    assert!(silent[2].is_ended().await);
}

#[tokio::test]
async fn who_was_told_to_go_on_and_waits_is_not_cut_for_those_who_are_silent() {
    let address = server(3).await;
    let mut waiting = TcpStream::connect(address).await.unwrap();
    let head =
        b"POST /late HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    waiting.write_all(head).await.unwrap();
    let mut told = [0; 25];
    waiting.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    waiting.write_all(b"body").await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(Connection::open(address).await.unwrap());
        sleep(Duration::from_millis(200)).await;
    }
    let mut answer = [0; 15];
    waiting.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn who_is_cut_ends_at_once_whatever_else_has_come_there() {
    let address = server(5).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Connection::open(address).await.unwrap();
        let more = [&bytes(&get("/late"))[..], b"G"].concat();
        client.write(&more).await.unwrap();
        clients.push(client);
        sleep(Duration::from_millis(10)).await;
    }
    let mut cut = 0;
    for client in &mut clients[..15] {
        // Well before it would be answered.
        let ended = timeout(Duration::from_millis(50), client.answer(&Method::GET)).await;
        cut += usize::from(matches!(ended, Ok(Err(_))));
    }
    assert_eq!(cut, 15);
}

#[tokio::test]
async fn many_more_silent_connections_than_there_are_places_keep_nobody_out() {
    let splitdim = Splitdim::in_memory(&["--max-connections", "20"]);
    let mut silent = Vec::new();
    for _ in 0..500 {
        silent.push(splitdim.connect().await);
    }
    for _ in 0..20 {
        assert_served(&splitdim).await;
    }
}

#[tokio::test]
async fn four_thousand_idle_connections_keep_nobody_out() {
    const CLIENTS: usize = 4000;
    let open_files = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let room = usize::try_from(open_files).unwrap_or(usize::MAX) - 100;
    let splitdim = Splitdim::in_memory(&[]);
    let mut silent = Vec::new();
    for _ in 0..CLIENTS.min(room) {
        silent.push(splitdim.connect().await);
    }
    let mut client = served(&splitdim).await;
    let transfer = post(
        "/api/transfer",
        r#"{"sender":"a","receiver":"b","amount":1}"#,
    );
    assert_eq!(client.call(&transfer).await.unwrap().status(), 200);
    // Nor is anybody cut: there is room.
    let first = silent[0].call(&get("/healthz")).await;
    assert_eq!(first.unwrap().status(), 200);
}

#[tokio::test]
async fn silent_connections_keep_nobody_out_where_few_files_may_be_open() {
    let server = ["--in-memory", "--listen", "127.0.0.1:0", "--threads", "2"];
    for program in [splitdim::PROGRAM, kvstore::PROGRAM] {
        let limited = ["-c", "ulimit -n 200; exec \"$0\" \"$@\"", program];
        let mut process = Process::start("/bin/sh", &[&limited[..], &server].concat(), &[]);
        let warning = process.wait_for("--max-connections");
        assert!(warning.contains("open_files=200"), "{warning}");
        let address = process.address();
        let mut silent = Vec::new();
        for _ in 0..400 {
            silent.push(Connection::open(address).await.unwrap());
        }
        let mut client = Connection::open(address).await.unwrap();
        let answer = client.call(&get("/healthz")).await.unwrap();
        assert_eq!(answer.status(), 200, "{program}");
    }
}

#[tokio::test]
async fn a_header_of_10_mib_is_refused() {
    let splitdim = Splitdim::in_memory(&[]);
    let mut client = splitdim.connect().await;
    let mut refused = client.write(b"GET /healthz HTTP/1.1\r\nx-long: ").await;
    for _ in 0..10 {
        if refused.is_ok() {
            refused = client.write(&vec![b'x'; 1 << 20]).await;
        }
    }
    if refused.is_ok() {
        refused = client.write(b"\r\n\r\n").await;
    }
    if refused.is_ok() {
        let answer = client.answer(&Method::GET).await;
        refused = answer.and_then(|answer| match answer.status().as_u16() {
            431 => Err(std::io::ErrorKind::BrokenPipe.into()),
            _ => Ok(()),
        });
    }
    assert!(crate::common::http::is_cut(&refused.unwrap_err()));
    assert_served(&splitdim).await;
}

#[tokio::test]
async fn a_body_of_1_gib_is_refused_before_it_is_sent() {
    let splitdim = Splitdim::in_memory(&[]);
    let mut client = splitdim.connect().await;
    let head = "POST /api/transfer HTTP/1.1\r\nhost: x\r\ncontent-length: 1073741824\r\n\r\n{";
    client.write(head.as_bytes()).await.unwrap();
    let answer = client.answer(&Method::POST).await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(
        header(&answer, "content-type"),
        Some("application/problem+json")
    );
    // Nobody waits for the rest of it.
    assert!(client.is_ended().await);
    assert_served(&splitdim).await;
}

#[tokio::test]
async fn chunks_that_are_none_are_not_called_a_body_that_has_ended() {
    let (splitdim, store) = (Splitdim::in_memory(&[]), Kvstore::in_memory(&[]));
    let places = [
        (splitdim.address, "/api/transfer"),
        (store.address, "/api/put"),
    ];
    for (address, path) in places {
        let mut client = Connection::open(address).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
        client.write(head.as_bytes()).await.unwrap();
        client.write(b"2\r\n{}\r\nno size\r\n").await.unwrap();
        let answer = client.answer(&Method::POST).await.unwrap();
        assert_eq!(answer.status(), 400);
        let told = String::from_utf8_lossy(answer.body());
        assert!(told.contains("or its chunks are malformed."), "{told}");
    }
}

#[tokio::test]
async fn a_body_of_1_gib_in_chunks_is_refused_while_it_is_sent() {
    let splitdim = Splitdim::in_memory(&[]);
    let mut client = splitdim.connect().await;
    let head = "POST /api/transfer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    client.write(head.as_bytes()).await.unwrap();
    let mut chunk = b"100000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x10_0000, b' ');
    chunk.extend_from_slice(b"\r\n");
    let mut sent = 0;
    while sent < 1024 && client.write(&chunk).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 100, "{sent} MiB were taken");
    assert_served(&splitdim).await;
}

#[tokio::test]
async fn a_body_that_comes_in_pieces_is_read_as_a_whole() {
    const MAX: usize = 8192;
    let splitdim = Splitdim::in_memory(&[]);
    let transfer = r#"{"sender":"a","receiver":"b","amount":1}"#;
    for (length, status) in [(transfer.len(), 200), (MAX, 200), (MAX + 1, 413)] {
        let body = format!("{transfer:length$}");
        for is_chunked in [true, false] {
            let mut client = splitdim.connect().await;
            let framing = match is_chunked {
                true => "transfer-encoding: chunked".to_owned(),
                false => format!("content-length: {length}"),
            };
            let head = format!("POST /api/transfer HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n");
            client.write(head.as_bytes()).await.unwrap();
            for piece in [&body[..1], &body[1..30], &body[30..]] {
                sleep(Duration::from_millis(20)).await;
                let piece = match is_chunked {
                    true => format!("{:x}\r\n{piece}\r\n", piece.len()),
                    false => piece.to_owned(),
                };
                // It may be refused before it is complete.
                let _ = client.write(piece.as_bytes()).await;
            }
            if is_chunked {
                let _ = client.write(b"0\r\nx-trailer: 1\r\n\r\n").await;
            }
            let answer = client.answer(&Method::POST).await.unwrap();
            assert_eq!(answer.status(), status, "{length}, {framing}");
        }
    }
    let mut client = served(&splitdim).await;
    let accounts = client.call(&get("/api/accounts")).await.unwrap();
    assert_eq!(
        accounts.body(),
        r#"[{"holder":"a","balance":4},{"holder":"b","balance":-4}]"#
    );
}

#[tokio::test]
async fn heads_that_are_sent_by_half_do_not_fill_memory() {
    let splitdim = Splitdim::in_memory(&[]);
    let mut hostile = Vec::new();
    for _ in 0..CROWD {
        let mut client = splitdim.connect().await;
        // It may be cut before it has said all.
        let _ = client.write(&long_head()).await;
        hostile.push(client);
    }
    assert_small_and_serving(&splitdim.process, splitdim.connect().await).await;
}

#[tokio::test]
async fn bodies_that_are_sent_by_half_do_not_fill_memory() {
    let store = Kvstore::in_memory(&[]);
    let put = "POST /api/put HTTP/1.1\r\nhost: x\r\ncontent-length: 1048576\r\n\r\n";
    let half = [put.as_bytes(), &[b' '; 1_000_000]].concat();
    let mut hostile = Vec::new();
    for _ in 0..200 {
        let mut client = store.connect().await;
        let _ = client.write(&half).await;
        hostile.push(client);
    }
    assert_small_and_serving(&store.process, store.connect().await).await;
}

#[tokio::test]
async fn requests_that_were_answered_do_not_fill_memory() {
    let splitdim = Splitdim::in_memory(&[]);
    let whole = [&long_head()[..], b"\r\n\r\n"].concat();
    let mut hostile = Vec::new();
    for _ in 0..CROWD {
        let mut client = splitdim.connect().await;
        if client.write(&whole).await.is_ok() {
            let _ = client.answer(&Method::GET).await;
        }
        hostile.push(client);
    }
    assert_small_and_serving(&splitdim.process, splitdim.connect().await).await;
}

#[tokio::test]
async fn whoever_sends_little_is_not_cut_for_those_who_fill_memory() {
    let splitdim = Splitdim::in_memory(&[]);
    let mut client = splitdim.connect().await;
    let transfer = bytes(&post(
        "/api/transfer",
        r#"{"sender":"a","receiver":"b","amount":1}"#,
    ));
    let (begin, rest) = transfer.split_at(transfer.len() - 10);
    client.write(begin).await.unwrap();
    let mut hostile = Vec::new();
    for _ in 0..CROWD {
        let mut other = splitdim.connect().await;
        let _ = other.write(&long_head()).await;
        hostile.push(other);
    }
    client.write(rest).await.unwrap();
    let answer = client.answer(&Method::POST).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let splitdim = Splitdim::in_memory(&[]);
    for nonsense in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut client = splitdim.connect().await;
        client.write(nonsense.as_bytes()).await.unwrap();
        assert!(client.is_ended().await, "{nonsense:?}");
    }
    assert_served(&splitdim).await;
}

#[tokio::test]
async fn requests_that_are_sent_together_are_answered_in_order() {
    let splitdim = Splitdim::in_memory(&[]);
    let mut client = splitdim.connect().await;
    let requests = [
        post(
            "/api/transfer",
            r#"{"sender":"a","receiver":"b","amount":1}"#,
        ),
        get("/api/accounts"),
        get("/healthz"),
    ];
    let bytes: Vec<_> = requests
        .iter()
        .flat_map(crate::common::http::bytes)
        .collect();
    client.write(&bytes).await.unwrap();
    let accounts = r#"[{"holder":"a","balance":1},{"holder":"b","balance":-1}]"#;
    for (request, body) in requests.iter().zip(["", accounts, "OK"]) {
        let answer = client.answer(request.method()).await.unwrap();
        assert_eq!(answer.body(), body);
    }
}

/// More than the operating system keeps between a server and a client that does not read.
const LONG: usize = 64 << 20;

const LATE: Duration = Duration::from_secs(2);

/// A server in this process: `/long` is a long answer, `/late` one that is.
async fn server(max_connections: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let limits = Limits {
        idle_timeout: Duration::from_secs(60),
        max_connections,
        grace_period: Duration::ZERO,
    };
    let app = Router::new()
        .route("/", route(async || ""))
        .route("/long", route(async || vec![0; LONG]))
        .route("/late", any(async |_: Bytes| sleep(LATE).await));
    tokio::spawn(serve::for_ever(listener, app, limits));
    address
}

/// So many clients that each hold as much as they can would be too many.
const CROWD: usize = 2000;

/// All but the end of a head, of as many bytes as a server that serves on takes.
fn long_head() -> Vec<u8> {
    let mut head = b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: ".to_vec();
    head.resize(400_000, b'x');
    head
}

/// Asserts that `process` has far less in memory than its pod has when it has read what was sent to it, and that it
/// serves `client`.
async fn assert_small_and_serving(process: &Process, mut client: Connection) {
    sleep(Duration::from_secs(1)).await;
    let answer = client.call(&get("/healthz")).await.expect("it answers");
    assert_eq!(answer.status(), 200);
    let mib = process.resident() >> 20;
    assert!(mib < 250, "{mib} MiB");
}

/// A client that was served, and keeps its connection.
async fn served(splitdim: &Splitdim) -> Connection {
    let mut client = splitdim.connect().await;
    let answer = client.call(&get("/healthz")).await.expect("it answers");
    assert_eq!(answer.status(), 200);
    client
}

async fn assert_served(splitdim: &Splitdim) {
    served(splitdim).await;
}

/// Sends a byte now and then, for much longer than a connection may be idle.
async fn assert_cut_while_trickling(mut client: Connection) {
    for _ in 0..100 {
        sleep(TRICKLE).await;
        if let Err(error) = client.write(b"x").await {
            assert!(crate::common::http::is_cut(&error), "{error}");
            return;
        }
    }
    panic!("bytes could trickle for {:?}", 100 * TRICKLE);
}
