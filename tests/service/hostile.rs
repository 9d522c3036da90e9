//! Whatever clients send, nothing breaks: 100,000 cases against the routes in this process.

use crate::common::http::{Answer, post, request, with};
use crate::common::service::Service;
use axum::http::{Method, Request};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Map, Number, Value};
use tokio::runtime::{Builder, Runtime};
use unicode_normalization::UnicodeNormalization;

#[test]
fn random_bytes_break_nothing() {
    let bodies = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        // A good one, with some of its bytes replaced.
        prop::collection::vec((0..GOOD.len(), any::<u8>()), 1..6).prop_map(|changes| {
            let mut body = GOOD.as_bytes().to_vec();
            for (index, byte) in changes {
                body[index] = byte;
            }
            body
        }),
        // One that is cut off, and goes on as something else.
        (0..GOOD.len(), any::<String>()).prop_map(|(end, rest)| [
            &GOOD.as_bytes()[..end],
            rest.as_bytes()
        ]
        .concat()),
    ];
    check(40_000, bodies, async |service, body| {
        let answer = service.transfer(body).await;
        prop_assert!([200, 400].contains(&answer.status().as_u16()), "{answer:?}");
        Ok(())
    });
}

#[test]
fn random_json_breaks_nothing() {
    let fields = prop::collection::vec((field_name(), json()), 0..6);
    let bodies = prop_oneof![
        json().prop_map(|json| json.to_string()),
        fields.prop_map(|fields| {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{}:{value}", Value::from(&**name)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }),
    ];
    check(30_000, bodies, async |service, body| {
        let answer = service.transfer(body).await;
        prop_assert!([200, 400].contains(&answer.status().as_u16()), "{answer:?}");
        Ok(())
    });
}

#[test]
fn hostile_names_are_taken_or_refused_by_the_rules() {
    let transfers = (name(), name(), prop_oneof![1..100_i64, any::<i64>()]);
    check(
        20_000,
        transfers,
        async |service, (sender, receiver, amount)| {
            let body =
                serde_json::json!({ "sender": sender, "receiver": receiver, "amount": amount });
            let answer = service.transfer(body.to_string()).await;
            let (Some(sender), Some(receiver)) = (valid(&sender), valid(&receiver)) else {
                prop_assert_eq!(answer.status(), 400);
                return Ok(());
            };
            if sender == receiver || !(1..1 << 53).contains(&amount) {
                prop_assert_eq!(answer.status(), 400);
            } else if amount < 100 {
                prop_assert_eq!(answer.status(), 200);
            }
            if answer.status() == 200 {
                let balances = service.balances().await;
                prop_assert_eq!(balances.sum(), 0);
                prop_assert_eq!(balances.0[&sender], amount);
                prop_assert_eq!(balances.0[&receiver], -amount);
                // So that the ledger does not grow, and each case stands alone.
                service.reset().await;
            }
            Ok(())
        },
    );
}

#[test]
fn hostile_requests_break_nothing() {
    let requests = (
        prop_oneof![
            Just("GET"),
            Just("POST"),
            Just("HEAD"),
            Just("PUT"),
            Just("OPTIONS"),
            Just("X")
        ],
        prop_oneof![
            3 => prop::sample::select(&PATHS[..]).prop_map(str::to_owned),
            1 => "/[a-z%/.?&=2]{0,30}",
        ],
        prop::collection::vec((prop::sample::select(&HEADERS[..]), "[ -~\t]{0,40}"), 0..4),
        any::<Vec<u8>>(),
    );
    check(
        10_000,
        requests,
        async |service, (method, path, headers, body)| {
            if path.parse::<axum::http::Uri>().is_err() {
                return Ok(());
            }
            let method = Method::try_from(method).expect("it is a method");
            let mut request: Request<_> = request(method, &path, body);
            for (name, value) in headers {
                request = with(request, name, &value);
            }
            let answer = service.call(request).await;
            prop_assert!(answer.status().as_u16() < 500, "{answer:?}");
            Ok(())
        },
    );
}

#[tokio::test]
async fn the_routes_still_work_after_all_that() {
    let mut service = Service::in_process();
    for body in ["", "\0", "[[[[", GOOD] {
        let answer: Answer = service.call(post("/api/transfer", body)).await;
        assert!(answer.status().as_u16() < 500);
    }
    assert_eq!(service.balance("a").await, Some(1));
}

const GOOD: &str = r#"{"sender":"a","receiver":"b","amount":1}"#;

const PATHS: [&str; 8] = [
    "/",
    "/healthz",
    "/api/accounts",
    "/api/clear",
    "/api/reset",
    "/api/transfer",
    "/static/app.js",
    "/api/transfer/",
];

const HEADERS: [&str; 9] = [
    "x-request-id",
    "accept-encoding",
    "content-type",
    "sec-fetch-site",
    "sec-purpose",
    "range",
    "if-none-match",
    "content-encoding",
    "x-forwarded-for",
];

/// Any value of JSON, four levels deep.
fn json() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        (-3..3_i64).prop_map(Number::from),
        any::<f64>().prop_filter_map("JSON has finite numbers", Number::from_f64),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number.prop_map(Value::from),
        name().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((field_name(), inner), 0..6)
                .prop_map(|fields| Value::from(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn field_name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(&["sender", "receiver", "amount"][..]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

/// Names, most of them near some rule.
fn name() -> impl Strategy<Value = String> {
    let characters = prop_oneof![
        3 => prop::char::range('a', 'e'),
        1 => any::<char>(),
        1 => prop::sample::select(&[
            ' ', '\t', '\n', '\0', '!', '"', '\\', '\u{7f}', '\u{85}', '\u{a0}', '\u{301}', '\u{323}', '\u{1112}',
            '\u{1161}', '\u{11ab}', '\u{200b}', '\u{202e}', '\u{2066}', '\u{3000}', '\u{feff}', '\u{fb1d}', '\u{ffff}',
            '\u{1f44b}', '\u{10ffff}', '\u{1d15e}',
        ][..]),
    ];
    prop_oneof![
        8 => prop::collection::vec(characters, 0..8).prop_map(String::from_iter),
        1 => (60..70_usize, any::<char>()).prop_map(|(length, character)| character.to_string().repeat(length)),
        1 => any::<String>(),
    ]
}

/// The name that `text` spells, by the rules of the contract.
fn valid(text: &str) -> Option<String> {
    let name: String = text.trim().nfc().collect();
    let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let good = (1..=64).contains(&name.chars().count())
        && !name.starts_with('!')
        && !name.contains(|c: char| c.is_control() || turns(c));
    good.then_some(name)
}

/// Checks so many cases against one ledger in memory.
fn check<S: Strategy>(
    cases: u32,
    strategy: S,
    case: impl AsyncFn(&mut Service, S::Value) -> Result<(), TestCaseError>,
) {
    let runtime: Runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let service = runtime.block_on(async { std::cell::RefCell::new(Service::in_process()) });
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    };
    let result = TestRunner::new(config).run(&strategy, |value| {
        runtime.block_on(case(&mut service.borrow_mut(), value))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
