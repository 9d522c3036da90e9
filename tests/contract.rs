//! Each row of the HTTP contract, twice: against the routes in this process, and over TCP against
//! the real binary, or against the deployment that `EXTERNAL_IP` and `EXTERNAL_PORT` name (whose
//! ledger is emptied).

mod common;

use std::io::Read;

use axum::http::{Method, StatusCode};
use common::http::{Answer, get, header, post, request, with};
use common::service::Service;
use serde_json::{Value, json};

/// The largest balance, either way.
const MOST: i64 = (1 << 53) - 1;

/// The longest body.
const MAX_BODY: usize = 8192;

/// Makes two tests of each function.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod in_process {
            $(#[tokio::test] async fn $test() { super::$test(super::Service::in_process()).await })+
        }
        mod over_tcp {
            $(#[tokio::test] async fn $test() { super::$test(super::Service::over_tcp().await).await })+
        }
    };
}

on_both! {
    the_page_is_html,
    what_the_page_loads_is_served,
    health_is_ok,
    a_transfer_is_answered_with_an_empty_body,
    accounts_are_sorted_by_byte_order_and_people_at_zero_are_among_them,
    what_a_client_has_already_is_not_sent_again,
    clear_tells_who_pays_whom_and_changes_nothing,
    the_transfers_of_clear_bring_everybody_to_zero,
    a_reset_empties_the_ledger,
    other_methods_are_refused_and_told_which_is_allowed,
    other_methods_than_get_do_not_reset,
    other_paths_are_not_found,
    queries_are_ignored,
    a_transfer_is_json_whatever_its_content_type_says,
    unknown_fields_are_ignored,
    what_is_no_json_object_is_refused,
    a_body_that_is_no_text_is_refused_wherever_that_shows,
    an_empty_body_is_called_so,
    deep_json_is_read_without_harm,
    a_field_that_is_missing_is_named,
    a_field_of_another_type_is_named,
    a_field_that_comes_twice_is_refused,
    an_amount_is_an_integer_of_at_least_one,
    integers_past_the_bounds_are_refused,
    what_an_amount_may_be_is_told,
    a_name_is_not_empty,
    a_name_has_at_most_64_characters,
    a_name_does_not_begin_with_an_exclamation_mark,
    a_name_has_no_control_characters,
    a_name_does_not_turn_text_around,
    a_name_is_trimmed,
    two_spellings_of_a_name_are_one_person,
    names_may_be_strange,
    nobody_pays_themselves,
    balances_stay_within_their_bounds,
    a_refused_transfer_creates_nobody,
    a_body_past_8_kib_is_too_large,
    a_reset_from_another_site_is_refused,
    a_reset_from_the_page_itself_is_accepted,
    another_sites_page_makes_no_transfers,
    a_transfer_with_a_key_is_made_once,
    browsers_are_told_what_they_may_do,
    a_request_id_is_taken_over,
    a_request_id_is_made,
    a_hostile_request_id_is_replaced,
    answers_are_compressed_on_request,
    what_is_done_is_answered_so_whatever_encodings_are_accepted,
}

async fn the_page_is_html(mut service: Service) {
    let answer = service.get("/").await;
    assert_eq!(answer.status(), 200);
    let content_type = told(&answer, "content-type");
    assert!(content_type.starts_with("text/html"), "{content_type}");
    assert!(
        answer.body().starts_with(b"<!doctype html>")
            || answer.body().starts_with(b"<!DOCTYPE html>")
    );
}

async fn what_the_page_loads_is_served(mut service: Service) {
    let page = service.get("/").await;
    let page = String::from_utf8_lossy(page.body());
    let paths: Vec<_> = quoted(&page, "/static/").collect();
    assert!(!paths.is_empty(), "{page}");
    for path in &paths {
        let answer = service.get(&format!("/static/{path}")).await;
        assert_eq!(answer.status(), 200, "{path}");
        if !path.ends_with("js") {
            continue;
        }
        // Browsers run a module of no other type.
        let content_type = told(&answer, "content-type");
        assert!(content_type.starts_with("text/javascript"), "{path}");
        // The page names what a module imports too, so that it is loaded at once.
        let module = String::from_utf8_lossy(answer.body());
        for import in quoted(&module, "./") {
            assert!(paths.contains(&import), "{path} imports {import}");
        }
    }
}

async fn health_is_ok(mut service: Service) {
    assert_answer(&service.get("/healthz").await, 200, "OK");
}

async fn a_transfer_is_answered_with_an_empty_body(mut service: Service) {
    service.reset().await;
    let answer = service
        .transfer(r#"{"sender":"a","receiver":"b","amount":1}"#)
        .await;
    assert_answer(&answer, 200, "");
    let answer = service.get("/api/accounts").await;
    assert_json(
        &answer,
        r#"[{"holder":"a","balance":1},{"holder":"b","balance":-1}]"#,
    );
    let answer = service
        .transfer(r#"{"sender":"b","receiver":"c","amount":3}"#)
        .await;
    assert_answer(&answer, 200, "");
    let answer = service.get("/api/accounts").await;
    assert_json(
        &answer,
        r#"[{"holder":"a","balance":1},{"holder":"b","balance":2},{"holder":"c","balance":-3}]"#,
    );
}

async fn accounts_are_sorted_by_byte_order_and_people_at_zero_are_among_them(mut service: Service) {
    service.reset().await;
    assert_json(&service.get("/api/accounts").await, "[]");
    for person in ["a", "é", "Z", "10", "~", "\"", "👋", "z", "ｚ"] {
        service.transferred(person, "9", 1).await;
        service.transferred("9", person, 1).await;
    }
    let answer = service.get("/api/accounts").await;
    let account = |holder| format!(r#"{{"holder":{holder},"balance":0}}"#);
    // U+FF5A sorts before U+1F44B by bytes; by UTF-16 it would be the other way round.
    let sorted = [
        r#""\"""#, "\"10\"", "\"9\"", "\"Z\"", "\"a\"", "\"z\"", "\"~\"", "\"é\"", "\"ｚ\"",
        "\"👋\"",
    ];
    assert_json(&answer, &format!("[{}]", sorted.map(account).join(",")));
}

async fn what_a_client_has_already_is_not_sent_again(mut service: Service) {
    let (a, b) = (service.person("a"), service.person("b"));
    service.transferred(&a, &b, 1).await;
    for path in ["/api/accounts", "/api/clear"] {
        let answer = service.get(path).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "cache-control"), Some("private, no-cache"));
        let tag = header(&answer, "etag").expect("there is a tag").to_owned();
        for known in [tag.clone(), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = service.call(with(get(path), "if-none-match", &known)).await;
            assert_eq!(again.status(), 304, "{known}");
            assert!(again.body().is_empty());
            assert_eq!(header(&again, "etag"), Some(&*tag));
        }
        service.transferred(&a, &b, 1).await;
        let changed = service.call(with(get(path), "if-none-match", &tag)).await;
        assert_eq!(changed.status(), 200);
        assert_ne!(header(&changed, "etag"), Some(&*tag));
        assert_ne!(changed.body(), answer.body());
    }
}

async fn clear_tells_who_pays_whom_and_changes_nothing(mut service: Service) {
    service.reset().await;
    assert_json(&service.get("/api/clear").await, "[]");
    service.transferred("a", "b", 1).await;
    for _ in 0..2 {
        let answer = service.get("/api/clear").await;
        assert_json(&answer, r#"[{"sender":"b","receiver":"a","amount":1}]"#);
    }
    let answer = service.get("/api/accounts").await;
    assert_json(
        &answer,
        r#"[{"holder":"a","balance":1},{"holder":"b","balance":-1}]"#,
    );
    service.transferred("b", "a", 1).await;
    assert_json(&service.get("/api/clear").await, "[]");
}

async fn the_transfers_of_clear_bring_everybody_to_zero(mut service: Service) {
    service.reset().await;
    let people = ["a", "b", "c", "d", "e", "f", "g"];
    for (number, sender) in people.iter().enumerate() {
        for (step, amount) in [(1, 7), (2, 100), (4, 13)] {
            let receiver = people[(number + step) % people.len()];
            service
                .transferred(sender, receiver, amount * (number as i64 + 1))
                .await;
        }
    }
    let answer = service.get("/api/clear").await;
    let payments: Vec<Value> = serde_json::from_slice(answer.body()).expect("payments are JSON");
    assert!(
        !payments.is_empty() && payments.len() < people.len(),
        "{payments:?}"
    );
    for payment in payments {
        assert_answer(&service.transfer(payment.to_string()).await, 200, "");
    }
    let balances = service.balances().await.0;
    assert_eq!(balances.len(), people.len());
    assert!(
        balances.values().all(|balance| *balance == 0),
        "{balances:?}"
    );
    assert_json(&service.get("/api/clear").await, "[]");
}

async fn a_reset_empties_the_ledger(mut service: Service) {
    service.transferred("a", "b", 1).await;
    assert_answer(&service.get("/api/reset").await, 200, "");
    assert_json(&service.get("/api/accounts").await, "[]");
    assert_json(&service.get("/api/clear").await, "[]");
    assert_answer(&service.get("/api/reset").await, 200, "");
    service.transferred("a", "b", 2).await;
    let answer = service.get("/api/accounts").await;
    assert_json(
        &answer,
        r#"[{"holder":"a","balance":2},{"holder":"b","balance":-2}]"#,
    );
}

async fn other_methods_are_refused_and_told_which_is_allowed(mut service: Service) {
    let others = [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS];
    for path in ["/", "/api/accounts", "/api/clear", "/api/reset", "/healthz"] {
        for method in [Method::POST].iter().chain(&others) {
            let answer = service.call(request(method.clone(), path, "")).await;
            assert_problem(&answer, 405);
            let allow = told(&answer, "allow");
            assert!(
                allow.split(',').any(|allowed| allowed.trim() == "GET"),
                "{method} {path}: {allow}"
            );
        }
    }
    for method in [Method::GET, Method::HEAD].iter().chain(&others) {
        let answer = service
            .call(request(method.clone(), "/api/transfer", ""))
            .await;
        assert_eq!(answer.status(), 405, "{method}");
        assert_eq!(header(&answer, "allow"), Some("POST"), "{method}");
    }
}

async fn other_methods_than_get_do_not_reset(mut service: Service) {
    let [sender, receiver] = ["a", "b"].map(|name| service.person(name));
    service.transferred(&sender, &receiver, 1).await;
    for method in ["POST", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let method = Method::try_from(method).expect("it is a word");
        let answer = service
            .call(request(method.clone(), "/api/reset", ""))
            .await;
        assert_eq!(answer.status(), 405, "{method}");
        assert_eq!(header(&answer, "allow"), Some("GET"), "{method}");
    }
    assert_eq!(service.balance(&sender).await, Some(1));
}

async fn other_paths_are_not_found(mut service: Service) {
    let [sender, receiver] = ["a", "b"].map(|name| service.person(name));
    service.transferred(&sender, &receiver, 1).await;
    let body = json!({ "sender": sender, "receiver": receiver, "amount": 1 }).to_string();
    for path in [
        "/api/transfer/",
        "/api/transfer/x",
        "/api/transfers",
        "/API/transfer",
        "//api/transfer",
    ] {
        assert_problem(&service.call(post(path, body.clone())).await, 404);
    }
    let gets = [
        "/api",
        "/api/",
        "/api/x",
        "/api/accounts/",
        "/api/accounts/x",
        "/api/clear/",
        "/api/reset/",
        "/api/reset/x",
        "/healthz/",
        "/index.html",
        "/..",
        "/%2e%2e/etc/passwd",
        "/static/",
        "/static/../Cargo.toml",
        "/api%2Freset",
    ];
    for path in gets {
        assert_problem(&service.get(path).await, 404);
    }
    assert_eq!(service.balance(&sender).await, Some(1));
}

async fn queries_are_ignored(mut service: Service) {
    assert_answer(&service.get("/healthz?now").await, 200, "OK");
    let [sender, receiver] = ["a", "b"].map(|name| service.person(name));
    let body = json!({ "sender": sender, "receiver": receiver, "amount": 1 }).to_string();
    let answer = service.call(post("/api/transfer?sender=c", body)).await;
    assert_answer(&answer, 200, "");
    assert_eq!(service.balance(&sender).await, Some(1));
}

async fn a_transfer_is_json_whatever_its_content_type_says(mut service: Service) {
    let [sender, receiver] = ["a", "b"].map(|name| service.person(name));
    let body = json!({ "sender": sender, "receiver": receiver, "amount": 1 }).to_string();
    assert_answer(&service.transfer(body.clone()).await, 200, "");
    let types = [
        "application/json",
        "application/json; charset=utf-8",
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data",
        "nonsense",
        "",
    ];
    for content_type in types {
        let request = with(
            post("/api/transfer", body.clone()),
            "content-type",
            content_type,
        );
        assert_answer(&service.call(request).await, 200, "");
    }
    assert_eq!(service.balance(&sender).await, Some(1 + types.len() as i64));
    assert_eq!(
        service.balance(&receiver).await,
        Some(-1 - types.len() as i64)
    );
}

async fn unknown_fields_are_ignored(mut service: Service) {
    let [sender, receiver] = ["a", "b"].map(|name| service.person(name));
    let body = json!({
        "sender": sender, "note": "dinner", "receiver": receiver, "Amount": 5, "amount": 1,
        "nested": { "amount": [2, { "sender": "c" }] }, "": null,
    });
    let answer = service.transfer(body.to_string()).await;
    assert_answer(&answer, 200, "");
    // The same one twice, too: nobody reads it.
    let body =
        format!(r#" {{"x":1,"x":2,"sender":"{sender}","receiver":"{receiver}","amount":1}} "#);
    assert_answer(&service.transfer(body).await, 200, "");
    assert_eq!(service.balance(&sender).await, Some(2));
}

async fn what_is_no_json_object_is_refused(mut service: Service) {
    let good = r#"{"sender":"a","receiver":"b","amount":1}"#;
    let bodies = [
        "",
        " ",
        "x",
        "null",
        "true",
        "1",
        "\"a\"",
        "[]",
        r#"["a","b",1]"#,
        "sender=a&receiver=b&amount=1",
        r#"{sender:"a","receiver":"b","amount":1}"#,
        r#"{"sender":"a","receiver":"b","amount":1,}"#,
        r#"{'sender':'a','receiver':'b','amount':1}"#,
        r#"{"sender":"\ud800","receiver":"b","amount":1}"#,
        "{\"sender\":\"a\nb\",\"receiver\":\"b\",\"amount\":1}",
        r#"{"sender":"a","receiver":"b","amount":01}"#,
        r#"{"sender":"a","receiver":"b","amount":NaN}"#,
        r#"{"sender":"a","receiver":"b","amount":+1}"#,
    ];
    for body in bodies {
        assert_problem(&service.transfer(body).await, 400);
    }
    for end in 0..good.len() {
        assert_problem(&service.transfer(&good.as_bytes()[..end]).await, 400);
    }
    for around in [
        format!("[{good}]"),
        format!("{good}{good}"),
        format!("{good}x"),
        format!("\u{feff}{good}"),
    ] {
        assert_problem(&service.transfer(around).await, 400);
    }
    let no_text = b"{\"sender\":\"\xff\",\"receiver\":\"b\",\"amount\":1}";
    assert_problem(&service.transfer(&no_text[..]).await, 400);
}

async fn a_body_that_is_no_text_is_refused_wherever_that_shows(mut service: Service) {
    let [sender, receiver] = ["a", "b"].map(|name| service.person(name));
    let good = with_amount(&sender, &receiver, "1");
    let (head, rest) = good.split_at(1);
    for ignored in [
        &b"\"x\":\"\xff\","[..],
        b"\"\xff\":1,",
        b"\"x\":[\"\xff\"],",
    ] {
        let body = [head.as_bytes(), b"\n", ignored, rest.as_bytes()].concat();
        let column = ignored.iter().position(|byte| *byte == 0xff).unwrap_or(0) + 1;
        let problem = assert_problem(&service.transfer(body).await, 400);
        let detail = format!("The body is not JSON: see line 2, column {column}.");
        assert_eq!(problem["detail"], detail);
    }
    assert_eq!(service.balance(&sender).await, None);
}

async fn an_empty_body_is_called_so(mut service: Service) {
    for body in ["", " ", "\r\n"] {
        let problem = assert_problem(&service.transfer(body).await, 400);
        assert_eq!(problem["detail"], "The body is empty.");
    }
}

async fn deep_json_is_read_without_harm(mut service: Service) {
    let [sender, receiver] = ["a", "b"].map(|name| service.person(name));
    for (open, close) in [("[", "]"), ("{\"x\":", "}")] {
        let depth = 1300;
        let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let good = with_amount(&sender, &receiver, "1");
        let body = good.replacen('{', &format!(r#"{{"x":{deep},"#), 1);
        assert_answer(&service.transfer(body).await, 200, "");
        let body = with_amount(&sender, &receiver, &deep);
        assert_field(&service.transfer(body).await, "amount");
        assert_problem(&service.transfer(deep).await, 400);
    }
    assert_eq!(service.balance(&sender).await, Some(2));
}

async fn a_field_that_is_missing_is_named(mut service: Service) {
    for field in ["sender", "receiver", "amount"] {
        let mut body = json!({ "sender": "a", "receiver": "b", "amount": 1 });
        body.as_object_mut().expect("it is an object").remove(field);
        assert_field(&service.transfer(body.to_string()).await, field);
        body[field.to_uppercase()] = "c".into();
        assert_field(&service.transfer(body.to_string()).await, field);
    }
}

async fn a_field_of_another_type_is_named(mut service: Service) {
    let values = [
        json!(null),
        json!(true),
        json!([]),
        json!(["a"]),
        json!({}),
        json!({ "a": 1 }),
        json!(1.5),
    ];
    for field in ["sender", "receiver", "amount"] {
        let other = if field == "amount" {
            json!("1")
        } else {
            json!(1)
        };
        for value in values.iter().chain([&other]) {
            let mut body = json!({ "sender": "a", "receiver": "b", "amount": 1 });
            body[field] = value.clone();
            assert_field(&service.transfer(body.to_string()).await, field);
        }
    }
}

async fn a_field_that_comes_twice_is_refused(mut service: Service) {
    for twice in [
        r#""sender":"a""#,
        r#""receiver":"b""#,
        r#""amount":1"#,
        r#""amount":null"#,
        r#""s\u0065nder":"a""#,
    ] {
        for body in [
            format!(r#"{{{twice},"sender":"a","receiver":"b","amount":1}}"#),
            format!(r#"{{"sender":"a","receiver":"b","amount":1,{twice}}}"#),
        ] {
            assert_problem(&service.transfer(body).await, 400);
        }
    }
}

async fn an_amount_is_an_integer_of_at_least_one(mut service: Service) {
    for amount in [
        "0",
        "-0",
        "-1",
        "1.0",
        "1.5",
        "1e3",
        "1E0",
        "0.1",
        "-9223372036854775808",
    ] {
        assert_field(
            &service.transfer(with_amount("a", "b", amount)).await,
            "amount",
        );
    }
}

async fn integers_past_the_bounds_are_refused(mut service: Service) {
    let huge = format!("1{}", "0".repeat(400));
    let amounts = [
        "9007199254740992",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "1e999",
        huge.as_str(),
    ];
    for amount in amounts {
        let answer = service.transfer(with_amount("a", "b", amount)).await;
        assert_problem(&answer, 400);
    }
    for amount in &amounts[..6] {
        assert_field(
            &service.transfer(with_amount("a", "b", amount)).await,
            "amount",
        );
    }
}

async fn what_an_amount_may_be_is_told(mut service: Service) {
    let most = MOST.to_string();
    let amounts = [
        "-0",
        "1.0",
        "1e3",
        "\"1\"",
        "null",
        "18446744073709551616",
        "-9223372036854775809",
        &format!("1{}", "0".repeat(100)),
    ];
    for amount in amounts {
        let answer = service.transfer(with_amount("a", "b", amount)).await;
        let problem = assert_problem(&answer, 400);
        let detail = problem["detail"].as_str().unwrap_or_default();
        let told = format!("an integer from 1 to {most}.");
        assert!(detail.ends_with(&told), "{amount}: {detail}");
    }
}

async fn a_name_is_not_empty(mut service: Service) {
    for name in ["", " ", "\t\n", "\u{a0}\u{3000}"] {
        assert_refused_name(&mut service, name).await;
    }
}

async fn a_name_has_at_most_64_characters(mut service: Service) {
    let other = service.person("b");
    let mark = service.person("").chars().count();
    for character in ["x", "é", "e\u{301}", "👋"] {
        let longest = service.person(&character.repeat(64 - mark));
        service.transferred(&longest, &other, 1).await;
        service
            .transferred(&other, &format!("  {longest} "), 1)
            .await;
        assert_refused_name(&mut service, &format!("{longest}{character}")).await;
    }
    // By the rule for names: those that end in a combining character are composed first.
    assert_refused_name(&mut service, &"x\u{301}".repeat(33)).await;
    assert_refused_name(&mut service, &"x".repeat(8000)).await;
}

async fn a_name_does_not_begin_with_an_exclamation_mark(mut service: Service) {
    for name in ["!", "!a", "!t/1", " !a", "\u{3000}!a"] {
        assert_refused_name(&mut service, name).await;
    }
    let (name, other) = (service.person("a!"), service.person("b"));
    service.transferred(&name, &other, 1).await;
    assert_eq!(service.balance(&name).await, Some(1));
}

async fn a_name_has_no_control_characters(mut service: Service) {
    for control in [
        '\0', '\u{1}', '\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{80}', '\u{85}', '\u{9f}',
    ] {
        assert_refused_name(&mut service, &format!("a{control}b")).await;
    }
    assert_refused_name(&mut service, "a\0").await;
    assert_refused_name(&mut service, "\u{1b}[31ma").await;
}

async fn a_name_does_not_turn_text_around(mut service: Service) {
    for turn in ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
        for name in [format!("a{turn}b"), format!("{turn}a"), format!("a{turn}")] {
            assert_refused_name(&mut service, &name).await;
        }
    }
}

async fn a_name_is_trimmed(mut service: Service) {
    let (name, other) = (service.person("John Smith"), service.person("b"));
    for spelling in [
        name.clone(),
        format!(" {name}"),
        format!("{name}\t\n"),
        format!("\u{a0}{name}\u{3000}"),
    ] {
        service.transferred(&spelling, &other, 1).await;
    }
    assert_eq!(service.balance(&name).await, Some(4));
    assert_eq!(service.balance(&other).await, Some(-4));
}

async fn two_spellings_of_a_name_are_one_person(mut service: Service) {
    let other = service.person("b");
    let [composed, decomposed] = ["\u{e9}", "e\u{301}"].map(|name| service.person(name));
    service.transferred(&composed, &other, 1).await;
    service.transferred(&decomposed, &other, 2).await;
    assert_eq!(service.balance(&composed).await, Some(3));
    assert_eq!(service.balance(&decomposed).await, None);
    // Hangul, and an order of marks that is not the canonical one.
    let [composed, decomposed] =
        ["\u{d55c}", "\u{1112}\u{1161}\u{11ab}"].map(|name| service.person(name));
    service.transferred(&composed, &other, 1).await;
    service.transferred(&decomposed, &other, 2).await;
    assert_eq!(service.balance(&composed).await, Some(3));
    let [one, two] = ["q\u{307}\u{323}", "q\u{323}\u{307}"].map(|name| service.person(name));
    service.transferred(&one, &other, 1).await;
    service.transferred(&two, &other, 2).await;
    assert_eq!(service.balance(&two).await, Some(3));
    // Only what is the same text in another encoding: compatible is not the same, nor is another case.
    let [wide, narrow, capital] = ["ａ", "a", "A"].map(|name| service.person(name));
    service.transferred(&wide, &other, 1).await;
    service.transferred(&narrow, &capital, 1).await;
    assert_eq!(service.balance(&wide).await, Some(1));
    assert_eq!(service.balance(&narrow).await, Some(1));
}

async fn names_may_be_strange(mut service: Service) {
    let other = service.person("b");
    let names = [
        "John  Smith",
        "<b>x</b>",
        "\"",
        "\\",
        "'; --",
        "a/b",
        "0",
        "-1",
        "null",
        "á́́",
        "👨‍👩‍👧",
        "שלום",
        "مرحبا",
        "\u{200f}a",
        "a\u{200b}b",
        "${x}",
        "%00",
        "../..",
        "{\"a\":1}",
    ];
    for (number, name) in names.map(|name| service.person(name)).iter().enumerate() {
        let amount = number as i64 + 1;
        service.transferred(name, &other, amount).await;
        assert_eq!(service.balance(name).await, Some(amount), "{name:?}");
    }
}

async fn nobody_pays_themselves(mut service: Service) {
    let [a, composed, decomposed] = ["a", "\u{e9}", "e\u{301}"].map(|name| service.person(name));
    for (sender, receiver) in [(&a, &a), (&a, &format!(" {a} ")), (&composed, &decomposed)] {
        let answer = service.transfer(with_amount(sender, receiver, "1")).await;
        assert_field(&answer, "receiver");
        assert_eq!(service.balance(sender).await, None);
    }
}

async fn balances_stay_within_their_bounds(mut service: Service) {
    let [rich, poor, other] = ["rich", "poor", "other"].map(|name| service.person(name));
    service.transferred(&rich, &poor, MOST).await;
    for (sender, receiver) in [(&rich, &other), (&other, &poor), (&rich, &poor)] {
        let answer = service.transfer(with_amount(sender, receiver, "1")).await;
        assert_field(&answer, "amount");
    }
    assert_eq!(service.balance(&rich).await, Some(MOST));
    assert_eq!(service.balance(&poor).await, Some(-MOST));
    assert_eq!(service.balance(&other).await, None);
    service.transferred(&poor, &rich, MOST).await;
    service.transferred(&poor, &rich, MOST).await;
    assert_eq!(service.balance(&rich).await, Some(-MOST));
    service.transferred(&rich, &poor, MOST).await;
    assert_eq!(service.balance(&rich).await, Some(0));
}

async fn a_refused_transfer_creates_nobody(mut service: Service) {
    let [sender, receiver] = ["a", "b"].map(|name| service.person(name));
    assert_field(
        &service.transfer(with_amount(&sender, &receiver, "0")).await,
        "amount",
    );
    assert_field(
        &service.transfer(with_amount(&sender, "", "1")).await,
        "receiver",
    );
    assert_eq!(service.balance(&sender).await, None);
    assert_eq!(service.balance(&receiver).await, None);
}

async fn a_body_past_8_kib_is_too_large(mut service: Service) {
    let [sender, receiver] = ["a", "b"].map(|name| service.person(name));
    let of_length = |length: usize| {
        let body = with_amount(&sender, &receiver, "1");
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    let chunked = |length| {
        with(
            post("/api/transfer", of_length(length)),
            "transfer-encoding",
            "chunked",
        )
    };
    assert_answer(&service.transfer(of_length(MAX_BODY)).await, 200, "");
    assert_answer(&service.call(chunked(MAX_BODY)).await, 200, "");
    for length in [MAX_BODY + 1, 3 * MAX_BODY] {
        assert_problem(&service.transfer(of_length(length)).await, 413);
        assert_problem(&service.call(chunked(length)).await, 413);
    }
    assert_eq!(service.balance(&sender).await, Some(2));
}

async fn a_reset_from_another_site_is_refused(mut service: Service) {
    let [sender, receiver] = ["a", "b"].map(|name| service.person(name));
    service.transferred(&sender, &receiver, 1).await;
    let hostile = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "nonsense"),
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("origin", "http://other.example"),
        ("origin", "null"),
        ("referer", "http://other.example/page"),
    ];
    for (name, value) in hostile {
        assert_problem(
            &service.call(with(get("/api/reset"), name, value)).await,
            403,
        );
    }
    let prefetch = with(get("/api/reset"), "sec-fetch-site", "same-origin");
    assert_problem(
        &service
            .call(with(prefetch, "sec-purpose", "prefetch"))
            .await,
        403,
    );
    let twice = with(get("/api/reset"), "sec-fetch-site", "none");
    assert_problem(
        &service
            .call(with(twice, "sec-fetch-site", "cross-site"))
            .await,
        403,
    );
    assert_eq!(service.balance(&sender).await, Some(1));
}

async fn a_reset_from_the_page_itself_is_accepted(mut service: Service) {
    for site in ["same-origin", "none"] {
        service.transferred("a", "b", 1).await;
        let answer = service
            .call(with(get("/api/reset"), "sec-fetch-site", site))
            .await;
        assert_answer(&answer, 200, "");
        assert_json(&service.get("/api/accounts").await, "[]");
    }
}

async fn another_sites_page_makes_no_transfers(mut service: Service) {
    service.reset().await;
    let transfer = r#"{"sender":"a","receiver":"b","amount":1}"#;
    let from = |site| with(post("/api/transfer", transfer), "sec-fetch-site", site);
    for site in ["cross-site", "same-site", "x"] {
        assert_problem(&service.call(from(site)).await, 403);
    }
    for (name, value) in [("origin", "http://other.example"), ("referer", "http://x/")] {
        let from_there = with(post("/api/transfer", transfer), name, value);
        assert_problem(&service.call(from_there).await, 403);
    }
    assert_json(&service.get("/api/accounts").await, "[]");
    for site in ["same-origin", "none"] {
        assert_answer(&service.call(from(site)).await, 200, "");
    }
}

async fn a_transfer_with_a_key_is_made_once(mut service: Service) {
    service.reset().await;
    let named = |key: &str, amount: u64| {
        let body = format!(r#"{{"sender":"a","receiver":"b","amount":{amount}}}"#);
        with(post("/api/transfer", body), "idempotency-key", key)
    };
    let first = service.call(named("k-1", 5)).await;
    assert_answer(&first, 200, "");
    for again in ["k-1", "\"k-1\""] {
        let again = service.call(named(again, 5)).await;
        assert_answer(&again, 200, "");
        assert_eq!(told(&again, "location"), told(&first, "location"));
    }
    // Another transfer needs another key.
    assert_problem(&service.call(named("k-1", 6)).await, 422);
    let other = service.call(named("k-2", 5)).await;
    assert_answer(&other, 200, "");
    assert_ne!(told(&other, "location"), told(&first, "location"));
    let long = "x".repeat(65);
    for wrong in ["", "\"\"", "two words", &long] {
        assert_problem(&service.call(named(wrong, 5)).await, 400);
    }
    let accounts = r#"[{"holder":"a","balance":10},{"holder":"b","balance":-10}]"#;
    assert_json(&service.get("/api/accounts").await, accounts);
    // What is no transfer is refused as ever, and its key is free.
    assert_problem(&service.call(named("k-5", 0)).await, 400);
    assert_answer(&service.call(named("k-5", 1)).await, 200, "");
}

async fn browsers_are_told_what_they_may_do(mut service: Service) {
    for request in [
        get("/"),
        get("/api/accounts"),
        get("/healthz"),
        get("/x"),
        post("/api/transfer", "x"),
        request(Method::HEAD, "/", ""),
    ] {
        let answer = service.call(request).await;
        let policy = told(&answer, "content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        for kind in ["script", "style", "connect", "img", "manifest"] {
            assert!(policy.contains(&format!("; {kind}-src 'self'")), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"));
        assert!(header(&answer, "referrer-policy").is_some());
    }
}

async fn a_request_id_is_taken_over(mut service: Service) {
    for path in ["/healthz", "/api/accounts", "/x"] {
        let answer = service
            .call(with(get(path), "x-request-id", "a-1_B.2"))
            .await;
        assert_eq!(header(&answer, "x-request-id"), Some("a-1_B.2"), "{path}");
    }
}

async fn a_request_id_is_made(mut service: Service) {
    let mut ids = Vec::new();
    for path in ["/healthz", "/healthz", "/x"] {
        let answer = service.get(path).await;
        ids.push(
            told(&answer, "x-request-id")
                .parse::<uuid::Uuid>()
                .expect("it is a UUID"),
        );
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

async fn a_hostile_request_id_is_replaced(mut service: Service) {
    let long = "x".repeat(4000);
    for id in ["", "a b", "<script>", "a\"b", "{}", "a\tb", "\u{e9}", &long] {
        let answer = service
            .call(with(get("/healthz"), "x-request-id", id))
            .await;
        assert_eq!(answer.status(), 200);
        let made = told(&answer, "x-request-id");
        assert!(made.parse::<uuid::Uuid>().is_ok(), "{id:?} became {made:?}");
    }
}

async fn answers_are_compressed_on_request(mut service: Service) {
    // Long enough to be worth it.
    for number in 0..10 {
        let receiver = format!("somebody {number}");
        let sent = service.transfer(with_amount("a", &receiver, "1")).await;
        assert_eq!(sent.status(), 200);
    }
    for path in ["/", "/api/accounts", "/api/clear"] {
        let plain = service.get(path).await;
        assert_eq!(header(&plain, "content-encoding"), None, "{path}");
        let zipped = service
            .call(with(get(path), "accept-encoding", "gzip"))
            .await;
        assert_eq!(header(&zipped, "content-encoding"), Some("gzip"), "{path}");
        assert!(zipped.body().len() < plain.body().len(), "{path}");
        let mut unzipped = Vec::new();
        flate2::read::GzDecoder::new(&zipped.body()[..])
            .read_to_end(&mut unzipped)
            .expect("it is gzip");
        assert_eq!(unzipped, plain.body()[..], "{path}");
        let vary = header(&plain, "vary").unwrap_or_default().to_lowercase();
        assert!(vary.contains("accept-encoding"), "{path}: {vary:?}");
        let refused = service
            .call(with(get(path), "accept-encoding", "gzip;q=0, identity"))
            .await;
        assert_eq!(header(&refused, "content-encoding"), None, "{path}");
    }
}

async fn what_is_done_is_answered_so_whatever_encodings_are_accepted(mut service: Service) {
    let transfer = post(
        "/api/transfer",
        r#"{"sender":"a","receiver":"b","amount":1}"#,
    );
    let nothing = |request| with(request, "accept-encoding", "*;q=0");
    assert_eq!(service.call(nothing(transfer)).await.status(), 200);
    assert_eq!(service.call(nothing(get("/api/reset"))).await.status(), 200);
    // What is only looked at may be refused.
    let answer = service.call(nothing(get("/api/accounts"))).await;
    assert_eq!(answer.status(), 406);
    assert_eq!(told(&answer, "content-type"), "application/problem+json");
}

/// The value of a header that must be there.
#[track_caller]
fn told<'a>(answer: &'a Answer, name: &str) -> &'a str {
    header(answer, name).unwrap_or_else(|| panic!("there is no {name}: {answer:?}"))
}

/// What follows `start` in each pair of quotation marks that begins with it.
fn quoted<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.split('"')
        .filter_map(move |part| part.strip_prefix(start))
}

fn with_amount(sender: &str, receiver: &str, amount: &str) -> String {
    let (sender, receiver) = (json!(sender), json!(receiver));
    format!(r#"{{"sender":{sender},"receiver":{receiver},"amount":{amount}}}"#)
}

#[track_caller]
fn assert_answer(answer: &Answer, status: u16, body: &str) {
    let text = String::from_utf8_lossy(answer.body());
    assert_eq!((answer.status().as_u16(), &*text), (status, body));
}

#[track_caller]
fn assert_json(answer: &Answer, body: &str) {
    assert_answer(answer, 200, body);
    assert_eq!(header(answer, "content-type"), Some("application/json"));
}

/// Asserts that `answer` explains itself as RFC 9457 wants it, and gives its explanation.
#[track_caller]
fn assert_problem(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(
        header(answer, "content-type"),
        Some("application/problem+json")
    );
    let problem: Value = serde_json::from_slice(answer.body()).expect("a problem is JSON");
    assert_eq!(problem["status"], status);
    let title = StatusCode::from_u16(status)
        .expect("it is a status")
        .canonical_reason();
    assert_eq!(problem["title"].as_str(), title);
    let detail = problem["detail"].as_str().expect("there is a sentence");
    assert!(detail.ends_with('.'), "{detail:?} is no sentence");
    problem
}

/// Asserts that `answer` says that `field` is the matter.
#[track_caller]
fn assert_field(answer: &Answer, field: &str) {
    let problem = assert_problem(answer, 400);
    let text = String::from_utf8_lossy(answer.body());
    assert_eq!(problem["field"], field, "{text}");
}

/// Asserts that `name` is refused, as the sender and as the receiver.
async fn assert_refused_name(service: &mut Service, name: &str) {
    let other = service.person("b");
    let answer = service.transfer(with_amount(name, &other, "1")).await;
    assert_field(&answer, "sender");
    let answer = service.transfer(with_amount(&other, name, "1")).await;
    assert_field(&answer, "receiver");
}
