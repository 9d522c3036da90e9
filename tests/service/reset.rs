//! Who may reset, and what becomes of it.

use std::mem;
use std::time::Duration;

use crate::common::http::{Answer, Connection, get, header, post, request, with};
use crate::common::kvstore::Kvstore;
use crate::common::process::Process;
use crate::common::proxy::{Fate, Proxy};
use crate::common::service::Service;
use crate::common::splitdim::{PROGRAM, Splitdim};
use splitdim::kv::{KvRequest, KvService, spawn_embedded};
use splitdim::store::Memory;
use tokio::time::sleep;
use tower::{Service as _, ServiceExt, service_fn};

const TOKEN: &str = "correct-horse_battery.staple";

#[tokio::test]
async fn everybody_may_reset_if_nothing_is_said() {
    let mut own = Own::start(&[], &[]).await;
    assert_eq!(own.reset(&[]).await.status(), 200);
    assert!(own.is_empty().await);
    let mut own = Own::start(&["--reset", "open"], &[("SPLITDIM_RESET", "off")]).await;
    assert_eq!(own.reset(&[]).await.status(), 200);
}

#[tokio::test]
async fn a_reset_with_a_token_needs_it() {
    let environment = [("SPLITDIM_RESET", "token"), ("SPLITDIM_RESET_TOKEN", TOKEN)];
    let mut own = Own::start(&[], &environment).await;
    let near = format!("Bearer {}", &TOKEN[1..]);
    let long = format!("Bearer {TOKEN}x");
    let basic = format!("Basic {TOKEN}");
    let right = format!("bearer {TOKEN}");
    for shown in [
        &[][..],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer ")],
        &[("authorization", TOKEN)],
        &[("authorization", &near)],
        &[("authorization", &long)],
        &[("authorization", &basic)],
        &[("authorization", &right), ("authorization", "Bearer x")],
    ] {
        let answer = own.reset(shown).await;
        assert_eq!(answer.status(), 401, "{shown:?}");
        assert_eq!(header(&answer, "www-authenticate"), Some("Bearer"));
        assert_problem(&answer, 401);
    }
    assert!(!own.is_empty().await);
    // Another site's page does not know it, but a browser may.
    let shown = ("authorization", &*right);
    let answer = own.reset(&[shown, ("sec-fetch-site", "cross-site")]).await;
    assert_problem(&answer, 403);
    for method in ["POST", "HEAD", "DELETE"] {
        let request = request(method.parse().unwrap(), "/api/reset", "");
        let request = with(request, "authorization", &right);
        let answer = own.client.call(&request).await.unwrap();
        assert_eq!(answer.status(), 405, "{method}");
        assert_eq!(header(&answer, "allow"), Some("GET"));
    }
    assert!(!own.is_empty().await);
    let answer = own.reset(&[shown]).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.body()[..]),
        (200, &b""[..])
    );
    assert!(own.is_empty().await);
    assert!(!own.process.log().contains(TOKEN));
}

#[tokio::test]
async fn nobody_may_reset_where_it_is_off() {
    let mut own = Own::start(&["--reset=off"], &[]).await;
    let bearer = format!("Bearer {TOKEN}");
    for shown in [&[][..], &[("authorization", &*bearer)]] {
        assert_problem(&own.reset(shown).await, 403);
    }
    assert!(!own.is_empty().await);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reset_goes_on_and_nobody_is_told_to_repeat_it() {
    let store = spawn_embedded(Memory::new()).0;
    let slow = KvService::new(service_fn(move |request| {
        let mut store = store.clone();
        async move {
            if matches!(request, KvRequest::Reset { .. }) {
                sleep(Duration::from_secs(6)).await;
            }
            store.ready().await?.call(request).await
        }
    }));
    let mut service = Service::over(slow);
    service.transferred("a", "b", 1).await;
    let answer = service.get("/api/reset").await;
    assert_problem(&answer, 503);
    let said = String::from_utf8_lossy(answer.body());
    assert!(
        said.contains("not known whether the ledger was reset"),
        "{said}"
    );
    assert!(!said.contains("try again"), "{said}");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(&service.get("/api/accounts").await.body()[..], b"[]");
}

#[tokio::test]
async fn one_that_arrives_again_wipes_out_nothing_that_was_made_since() {
    for mode in ["resilientkvstore", "transactionalkvstore"] {
        let kvstore = Kvstore::in_memory(&[]);
        let proxy = Proxy::start(kvstore.address).await;
        let splitdim = Splitdim::replica(mode, proxy.address, &[]);
        let mut client = splitdim.connect().await;
        for fate in [
            // One after the other; the client hears of the second.
            Fate::Twice,
            Fate::Again(Duration::from_millis(500)),
            Fate::DropAnswer,
            // Longer than anybody waits for it.
            Fate::Late(Duration::from_millis(1500)),
        ] {
            transfer(&mut client).await;
            let mut is_first = true;
            proxy.rule(move |request| match request.path {
                "/api/reset" if mem::take(&mut is_first) => fate,
                _ => Fate::Pass,
            });
            let answer = client.call(&get("/api/reset")).await.unwrap();
            assert_eq!(answer.status(), 200, "{fate:?}");
            proxy.heal();
            transfer(&mut client).await;
            sleep(Duration::from_secs(1)).await;
            let accounts = client.call(&get("/api/accounts")).await.unwrap();
            let expected = br#"[{"holder":"a","balance":1},{"holder":"b","balance":-1}]"#;
            assert_eq!(&accounts.body()[..], expected, "{fate:?}");
        }
    }
}

async fn transfer(client: &mut Connection) {
    let transfer = r#"{"sender":"a","receiver":"b","amount":1}"#;
    let answer = client.call(&post("/api/transfer", transfer)).await;
    let answer = answer.expect("it is answered");
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_wish_that_cannot_be_is_told() {
    for (arguments, environment, part) in [
        (&["--reset=token"][..], &[][..], "SPLITDIM_RESET_TOKEN"),
        (
            &[],
            &[("SPLITDIM_RESET", "token"), ("SPLITDIM_RESET_TOKEN", "")],
            "not set",
        ),
        (
            &["--reset=token"],
            &[("SPLITDIM_RESET_TOKEN", "two words")],
            "no spaces",
        ),
        (&["--reset=never"], &[], "none of open, token, off"),
        (
            &[],
            &[("SPLITDIM_RESET_TOKEN", "secret")],
            "use --reset token",
        ),
        (
            &["--reset=off"],
            &[("SPLITDIM_RESET_TOKEN", "secret")],
            "use --reset token",
        ),
    ] {
        let arguments = [&["--in-memory", "--listen=127.0.0.1:0"], arguments].concat();
        let mut process = Process::start(PROGRAM, &arguments, environment);
        assert_eq!(process.ended().await.code(), Some(64));
        let log = process.log();
        assert!(log.starts_with("splitdim: --reset: "), "{log}");
        assert!(log.contains(part), "{log}");
        assert!(
            !log.contains("two words") && !log.contains("secret"),
            "{log}"
        );
        assert!(log.trim_end().ends_with('.'), "{log}");
    }
}

/// A splitdim with one transfer.
struct Own {
    process: Process,
    client: Connection,
}

impl Own {
    async fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let arguments = [&["--in-memory", "--listen=127.0.0.1:0"], arguments].concat();
        let mut process = Process::start(PROGRAM, &arguments, environment);
        let client = Connection::open(process.address()).await;
        let mut client = client.expect("it accepts connections");
        let transfer = post(
            "/api/transfer",
            r#"{"sender":"a","receiver":"b","amount":1}"#,
        );
        assert_eq!(
            client.call(&transfer).await.expect("it answers").status(),
            200
        );
        Self { process, client }
    }

    async fn reset(&mut self, headers: &[(&str, &str)]) -> Answer {
        let request = headers
            .iter()
            .fold(get("/api/reset"), |request, (name, value)| {
                with(request, name, value)
            });
        self.client.call(&request).await.expect("it answers")
    }

    async fn is_empty(&mut self) -> bool {
        let answer = self.client.call(&get("/api/accounts")).await;
        answer.expect("it answers").body() == "[]"
    }
}

fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status(), status);
    let kind = header(answer, "content-type");
    assert_eq!(kind, Some("application/problem+json"));
    let problem: serde_json::Value =
        serde_json::from_slice(answer.body()).expect("a problem is JSON");
    assert_eq!(problem["status"], status);
}
