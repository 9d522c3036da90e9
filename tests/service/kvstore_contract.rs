//! Each row of the contract of the store, twice: against the routes in this process, and over TCP
//! against the real binary.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use crate::common::http::{Answer, Connection, bytes, get, header, post, request, with};
use crate::common::kvstore::Kvstore;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use splitdim::kv::spawn_embedded;
use splitdim::kvstore::HttpFaults;
use splitdim::store::Memory;
use splitdim::web::Edge;
use tokio::time::Instant;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// The longest body.
const MAX_BODY: usize = 1 << 20;

/// The most puts in a transaction.
const MAX_PUTS: usize = 1024;

/// A header that tells this test's own client that the answer will be a 304, so without a length.
const UNCHANGED: &str = "x-test-unchanged";

/// Makes two tests of each function.
macro_rules! on_both {
    ($faults:literal, $process:ident, $tcp:ident: $($test:ident),+ $(,)?) => {
        mod $process {
            $(#[tokio::test] async fn $test() { super::$test(super::Store::in_process($faults)).await })+
        }
        mod $tcp {
            $(#[tokio::test] async fn $test() { super::$test(super::Store::over_tcp($faults).await).await })+
        }
    };
}

on_both! { false, in_process, over_tcp:
    a_missing_key_has_an_empty_value_and_version_0,
    a_put_raises_the_version_by_one,
    a_get_must_name_a_key,
    keys_and_values_may_be_any_text,
    a_put_of_another_version_is_refused_and_changes_nothing,
    a_put_that_is_none_is_refused,
    a_body_that_is_no_text_is_refused_wherever_that_shows,
    an_empty_body_is_called_so,
    what_a_put_leaves_out_is_empty_or_zero,
    the_content_type_is_ignored,
    a_list_is_sorted_by_key,
    a_list_is_compressed_on_request,
    a_list_can_be_of_a_range,
    a_list_query_that_is_none_is_refused,
    a_transaction_makes_all_its_puts,
    a_transaction_with_one_conflict_makes_none,
    a_transaction_that_is_none_is_refused,
    a_write_that_is_none_is_told_what_it_must_be,
    a_transaction_has_at_most_1024_puts,
    a_body_has_at_most_one_mebibyte,
    a_reset_forgets_all_keys,
    a_reset_from_another_site_is_refused,
    another_sites_page_writes_nothing,
    other_methods_are_refused_and_told_which_is_allowed,
    other_paths_are_not_found,
    health_is_ok,
    answers_tell_epoch_and_revision,
    a_list_that_has_not_changed_is_not_sent_again,
    a_put_from_before_a_reset_is_refused_by_its_epoch,
    a_transaction_from_before_a_reset_is_refused_by_its_epoch,
    a_reset_that_names_its_epoch_is_made_once,
    puts_of_a_transaction_name_one_epoch,
    problems_are_sentences,
    faults_cannot_be_injected_unless_asked_for,
}

on_both! { true, faults_in_process, faults_over_tcp:
    without_a_fault_there_are_only_counts,
    another_sites_page_changes_no_faults,
    the_next_requests_to_a_path_fail,
    a_third_fails_evenly_spread,
    the_newest_fault_of_a_path_counts,
    a_delay_comes_first,
    every_path_of_the_store_can_fail,
    faults_and_counters_can_be_cleared,
    a_wish_that_cannot_be_is_refused,
    a_wish_that_is_no_text_is_refused,
    other_methods_on_faults_are_refused,
}

async fn a_missing_key_has_an_empty_value_and_version_0(mut store: Store) {
    let answer = store.get("/api/get?id=nobody").await;
    assert_json(&answer, r#"{"value":"","version":0}"#);
}

async fn a_put_raises_the_version_by_one(mut store: Store) {
    assert_empty(&store.put(r#"{"key":"k","value":"1","version":0}"#).await);
    let answer = store.get("/api/get?id=k").await;
    assert_json(&answer, r#"{"value":"1","version":1}"#);
    assert_empty(&store.put(r#"{"key":"k","value":"2","version":1}"#).await);
    let answer = store.get("/api/get?id=k").await;
    assert_json(&answer, r#"{"value":"2","version":2}"#);
}

async fn a_get_must_name_a_key(mut store: Store) {
    for path in [
        "/api/get",
        "/api/get?",
        "/api/get?id=",
        "/api/get?key=k",
        "/api/get?id=a&id=b",
    ] {
        assert_problem(&store.get(path).await, 400);
    }
}

async fn keys_and_values_may_be_any_text(mut store: Store) {
    let texts = [
        ("John Smith", "John+Smith"),
        ("a&b=c", "a%26b%3Dc"),
        ("100%", "100%25"),
        ("c++", "c%2B%2B"),
        ("#1", "%231"),
        ("zwei\nZeilen\t\"q\"\\", "zwei%0AZeilen%09%22q%22%5C"),
        (
            "árvíztűrő 🦀",
            "%C3%A1rv%C3%ADzt%C5%B1r%C5%91%20%F0%9F%A6%80",
        ),
        ("\0", "%00"),
        ("/api/get?id=", "/api/get?id="),
        (&"long ".repeat(1000), &"long+".repeat(1000)),
    ];
    for (text, query) in texts {
        let put = json!({ "key": text, "value": text, "version": 0 });
        assert_empty(&store.put(&put.to_string()).await);
        let answer = store.get(&format!("/api/get?id={query}")).await;
        let stored = json_of(&answer);
        assert_eq!(stored, json!({ "value": text, "version": 1 }));
    }
}

async fn a_put_of_another_version_is_refused_and_changes_nothing(mut store: Store) {
    assert_problem(
        &store.put(r#"{"key":"k","value":"1","version":1}"#).await,
        428,
    );
    assert_empty(&store.put(r#"{"key":"k","value":"1","version":0}"#).await);
    for version in [0, 2, u64::MAX - 1] {
        let put = json!({ "key": "k", "value": "other", "version": version });
        let problem = assert_problem(&store.put(&put.to_string()).await, 428);
        assert_eq!(problem.get("epoch"), None);
    }
    assert_json(
        &store.get("/api/list").await,
        r#"[{"key":"k","value":"1","version":1}]"#,
    );
}

async fn a_put_that_is_none_is_refused(mut store: Store) {
    let bodies = [
        "",
        "{",
        "null",
        "7",
        "[]",
        r#"["k","1",0]"#,
        "{}",
        r#"{"value":"1","version":0}"#,
        r#"{"key":"","value":"1","version":0}"#,
        r#"{"key":7,"value":"1","version":0}"#,
        r#"{"key":"k","value":1,"version":0}"#,
        r#"{"key":"k","value":null,"version":0}"#,
        r#"{"key":"k","value":"1","version":"0"}"#,
        r#"{"key":"k","value":"1","version":-1}"#,
        r#"{"key":"k","value":"1","version":0.5}"#,
        r#"{"key":"k","value":"1","version":18446744073709551615}"#,
        r#"{"key":"k","value":"1","version":18446744073709551616}"#,
        r#"{"key":"k","value":"1","version":0,"epoch":"0"}"#,
        r#"{"key":"k","value":"1","version":0}{"#,
        "{\"key\":\"\u{1}\",\"value\":\"1\",\"version\":0}",
    ];
    for body in bodies {
        let answer = store.put(body).await;
        assert_eq!(answer.status(), 400, "{body}");
        assert_problem(&answer, 400);
    }
    let answer = store
        .call(post("/api/put", &b"{\"key\":\"\xff\"}"[..]))
        .await;
    assert_problem(&answer, 400);
    assert_json(&store.get("/api/list").await, "[]");
}

async fn a_body_that_is_no_text_is_refused_wherever_that_shows(mut store: Store) {
    let put = &b"{\"key\":\"k\",\n\"x\":\"\xff\"}"[..];
    let puts = [b"[", put, b"]"].concat();
    for write in [post("/api/put", put), post("/api/transaction", puts)] {
        assert_detail(
            &store.call(write).await,
            "The body is not JSON: see line 2, column 6.",
        );
    }
    assert_json(&store.get("/api/list").await, "[]");
}

async fn an_empty_body_is_called_so(mut store: Store) {
    for body in ["", " \n"] {
        assert_detail(&store.put(body).await, "The body is empty.");
        assert_detail(&store.transaction(body).await, "The body is empty.");
    }
}

async fn what_a_put_leaves_out_is_empty_or_zero(mut store: Store) {
    assert_empty(&store.put(r#"{"key":"k","more":[1]}"#).await);
    assert_json(
        &store.get("/api/list").await,
        r#"[{"key":"k","value":"","version":1}]"#,
    );
}

async fn the_content_type_is_ignored(mut store: Store) {
    let types = [
        "application/json",
        "application/x-www-form-urlencoded",
        "text/plain",
    ];
    for (version, content_type) in (0..).zip(types) {
        let body = json!({ "key": "k", "value": "v", "version": version }).to_string();
        let put = with(post("/api/put", body), "content-type", content_type);
        assert_empty(&store.call(put).await);
    }
}

async fn a_list_is_sorted_by_key(mut store: Store) {
    assert_json(&store.get("/api/list").await, "[]");
    for key in ["b", "é", "a", "B", "!", "ab"] {
        assert_empty(
            &store
                .put(&json!({ "key": key, "value": "", "version": 0 }).to_string())
                .await,
        );
    }
    assert_empty(&store.put(r#"{"key":"a","value":"1","version":1}"#).await);
    assert_json(
        &store.get("/api/list").await,
        r#"[{"key":"!","value":"","version":1},{"key":"B","value":"","version":1},{"key":"a","value":"1","version":2},{"key":"ab","value":"","version":1},{"key":"b","value":"","version":1},{"key":"é","value":"","version":1}]"#,
    );
}

async fn a_list_is_compressed_on_request(mut store: Store) {
    let value = "x".repeat(1000);
    let put = json!({ "key": "a", "value": value, "version": 0 });
    assert_empty(&store.put(&put.to_string()).await);
    let zipped = with(get("/api/list"), "accept-encoding", "gzip");
    let zipped = store.call(zipped).await;
    assert_eq!(header(&zipped, "content-encoding"), Some("gzip"));
    assert!(zipped.body().len() < 1000);
}

async fn a_list_can_be_of_a_range(mut store: Store) {
    for key in ["a", "a b", "a&", "b", "b1", "b2", "c"] {
        assert_empty(
            &store
                .put(&json!({ "key": key, "value": "", "version": 0 }).to_string())
                .await,
        );
    }
    let all = ["a", "a b", "a&", "b", "b1", "b2", "c"];
    for (query, keys) in [
        ("", &all[..]),
        ("?", &all[..]),
        ("?prefix=&start=", &all[..]),
        ("?other=1", &all[..]),
        ("?prefix=b", &["b", "b1", "b2"]),
        ("?prefix=a+b", &["a b"]),
        ("?prefix=a%26", &["a&"]),
        ("?prefix=x", &[]),
        ("?start=b1", &["b1", "b2", "c"]),
        ("?start=b0", &["b1", "b2", "c"]),
        ("?start=d", &[]),
        ("?limit=0", &[]),
        ("?limit=2", &["a", "a b"]),
        ("?limit=99", &all[..]),
        ("?prefix=b&start=b1", &["b1", "b2"]),
        ("?prefix=b&start=a", &["b", "b1", "b2"]),
        ("?prefix=a&start=b", &[]),
        ("?prefix=b&start=b1&limit=1", &["b1"]),
    ] {
        assert_eq!(
            keys_of(&store.get(&format!("/api/list{query}")).await),
            keys,
            "{query}"
        );
    }
}

async fn a_list_query_that_is_none_is_refused(mut store: Store) {
    for query in [
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=1.5",
        "prefix=a&prefix=b",
    ] {
        assert_problem(&store.get(&format!("/api/list?{query}")).await, 400);
    }
}

async fn a_transaction_makes_all_its_puts(mut store: Store) {
    assert_empty(&store.put(r#"{"key":"a","value":"1","version":0}"#).await);
    let both = r#"[{"key":"b","value":"2","version":0},{"key":"a","value":"3","version":1}]"#;
    assert_empty(&store.transaction(both).await);
    assert_json(
        &store.get("/api/list").await,
        r#"[{"key":"a","value":"3","version":2},{"key":"b","value":"2","version":1}]"#,
    );
    assert_empty(&store.transaction("[]").await);
}

async fn a_transaction_with_one_conflict_makes_none(mut store: Store) {
    assert_empty(&store.put(r#"{"key":"a","value":"1","version":0}"#).await);
    for conflict in [
        r#"[{"key":"b","value":"2","version":0},{"key":"a","value":"3","version":0}]"#,
        r#"[{"key":"a","value":"3","version":1},{"key":"b","value":"2","version":1}]"#,
    ] {
        assert_problem(&store.transaction(conflict).await, 428);
    }
    assert_json(
        &store.get("/api/list").await,
        r#"[{"key":"a","value":"1","version":1}]"#,
    );
}

async fn a_transaction_that_is_none_is_refused(mut store: Store) {
    for body in [
        "",
        "[",
        "{}",
        r#"{"key":"a","value":"","version":0}"#,
        r#"[{"key":"a","value":"","version":0},{}]"#,
        r#"[["a","",0]]"#,
        r#"[{"key":"a","value":"","version":0},{"key":"","value":"","version":0}]"#,
        r#"[{"key":"a","value":"","version":0},{"key":"a","value":"","version":1}]"#,
        r#"[{"key":"a","value":"","version":0},{"key":"a","value":"","version":0}]"#,
    ] {
        assert_problem(&store.transaction(body).await, 400);
    }
    assert_json(&store.get("/api/list").await, "[]");
}

async fn a_write_that_is_none_is_told_what_it_must_be(mut store: Store) {
    let put = r#"{"key": text, "value": text, "version": integer from 0}"#;
    assert_detail(
        &store.put("[]").await,
        &format!("A put must be {put}: see line 1, column 0."),
    );
    for (body, column) in [("{}", 0), ("null", 4), ("[7]", 2), (r#"[{"key":7}]"#, 9)] {
        assert_detail(
            &store.transaction(body).await,
            &format!(
                "A transaction must be a list of puts, [{put}, …]: see line 1, column {column}."
            ),
        );
    }
}

async fn a_transaction_has_at_most_1024_puts(mut store: Store) {
    let puts = |count| {
        let put = |number| json!({ "key": format!("{number:04}"), "value": "", "version": 0 });
        Value::Array((0..count).map(put).collect()).to_string()
    };
    assert_problem(&store.transaction(&puts(MAX_PUTS + 1)).await, 400);
    assert_json(&store.get("/api/list").await, "[]");
    assert_empty(&store.transaction(&puts(MAX_PUTS)).await);
    assert_eq!(keys_of(&store.get("/api/list").await).len(), MAX_PUTS);
}

async fn a_body_has_at_most_one_mebibyte(mut store: Store) {
    let put = |length: usize| {
        let empty = r#"{"key":"k","value":"","version":0}"#;
        let value = "v".repeat(length - empty.len());
        format!(r#"{{"key":"k","value":"{value}","version":0}}"#)
    };
    for path in ["/api/put", "/api/transaction"] {
        let answer = store.call(post(path, put(MAX_BODY + 1))).await;
        let problem = assert_problem(&answer, 413);
        let limit = format!("The body must have at most {MAX_BODY} bytes.");
        assert_eq!(problem["detail"], limit);
    }
    assert_json(&store.get("/api/list").await, "[]");
    assert_empty(&store.put(&put(MAX_BODY)).await);
}

async fn a_reset_forgets_all_keys(mut store: Store) {
    assert_empty(&store.get("/api/reset").await);
    assert_empty(&store.put(r#"{"key":"k","value":"1","version":0}"#).await);
    assert_empty(&store.get("/api/reset").await);
    assert_json(&store.get("/api/list").await, "[]");
    assert_json(
        &store.get("/api/get?id=k").await,
        r#"{"value":"","version":0}"#,
    );
    // The first version is 1 again.
    assert_empty(&store.put(r#"{"key":"k","value":"2","version":0}"#).await);
    assert_json(
        &store.get("/api/get?id=k").await,
        r#"{"value":"2","version":1}"#,
    );
}

async fn a_reset_from_another_site_is_refused(mut store: Store) {
    assert_empty(&store.put(r#"{"key":"k","value":"1","version":0}"#).await);
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("origin", "http://other.example"),
        ("referer", "http://other.example/page"),
    ] {
        let answer = store.call(with(get("/api/reset"), name, value)).await;
        assert_problem(&answer, 403);
    }
    assert_eq!(keys_of(&store.get("/api/list").await), ["k"]);
    for site in ["same-origin", "none"] {
        let answer = store
            .call(with(get("/api/reset"), "sec-fetch-site", site))
            .await;
        assert_empty(&answer);
    }
    assert_json(&store.get("/api/list").await, "[]");
}

async fn another_sites_page_writes_nothing(mut store: Store) {
    let put = post("/api/put", r#"{"key":"k"}"#);
    let transaction = post("/api/transaction", r#"[{"key":"l"}]"#);
    for write in [&put, &transaction] {
        for site in ["cross-site", "same-site", "x"] {
            let from_there = with(write.clone(), "origin", &format!("http://{site}"));
            assert_problem(&store.call(from_there).await, 403);
            let from_there = with(write.clone(), "sec-fetch-site", site);
            assert_problem(&store.call(from_there).await, 403);
        }
    }
    assert_json(&store.get("/api/list").await, "[]");
    for (write, site) in [(put, "same-origin"), (transaction, "none")] {
        assert_empty(&store.call(with(write, "sec-fetch-site", site)).await);
    }
    assert_eq!(keys_of(&store.get("/api/list").await), ["k", "l"]);
}

async fn other_methods_are_refused_and_told_which_is_allowed(mut store: Store) {
    assert_empty(&store.put(r#"{"key":"k","value":"1","version":0}"#).await);
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
    ];
    for (path, allowed) in [
        ("/api/get?id=k", "GET,HEAD"),
        ("/api/list", "GET,HEAD"),
        ("/api/put", "POST"),
        ("/api/transaction", "POST"),
        ("/api/reset", "GET"),
        ("/healthz", "GET,HEAD"),
    ] {
        for method in &methods {
            if allowed.split(',').any(|allowed| allowed == method.as_str()) {
                continue;
            }
            let answer = store.call(request(method.clone(), path, "")).await;
            assert_eq!(answer.status(), 405, "{method} {path}");
            assert_eq!(header(&answer, "allow"), Some(allowed), "{method} {path}");
        }
    }
    assert_eq!(keys_of(&store.get("/api/list").await), ["k"]);
}

async fn other_paths_are_not_found(mut store: Store) {
    for path in [
        "/",
        "/api",
        "/api/",
        "/api/get/",
        "/api/put/k",
        "/api/reset/",
        "/API/list",
        "/x",
    ] {
        assert_problem(&store.get(path).await, 404);
    }
}

async fn health_is_ok(mut store: Store) {
    let answer = store.get("/healthz").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.body()[..]),
        (200, &b"OK"[..])
    );
}

async fn answers_tell_epoch_and_revision(mut store: Store) {
    let (epoch, revision) = stamp(&store.get("/api/get?id=k").await);
    assert_eq!(revision, 0);
    let put = store.put(r#"{"key":"k","value":"1","version":0}"#).await;
    assert_eq!(stamp(&put), (epoch, 1));
    assert_eq!(stamp(&store.get("/api/get?id=k").await), (epoch, 1));
    let both = store.transaction(r#"[{"key":"l"},{"key":"m"}]"#).await;
    assert_eq!(stamp(&both), (epoch, 2));
    assert_eq!(stamp(&store.get("/api/reset").await), (epoch + 1, 3));
    let list = store.get("/api/list").await;
    assert_eq!(stamp(&list), (epoch + 1, 3));
    let tag = format!("W/\"{}-3\"", epoch + 1);
    assert_eq!(header(&list, "etag"), Some(&*tag));
}

async fn a_list_that_has_not_changed_is_not_sent_again(mut store: Store) {
    assert_empty(&store.put(r#"{"key":"k","value":"1","version":0}"#).await);
    let list = store.get("/api/list").await;
    let tag = header(&list, "etag").expect("a list has a tag").to_owned();
    for tag in [&*tag, tag.trim_start_matches("W/")] {
        let unless = with(get("/api/list"), "if-none-match", tag);
        let again = store.call(with(unless, UNCHANGED, "yes")).await;
        assert_eq!(
            (again.status().as_u16(), &again.body()[..]),
            (304, &b""[..])
        );
        assert_eq!(header(&again, "etag"), header(&list, "etag"));
        assert_eq!(stamp(&again), stamp(&list));
    }
    for tag in ["\"0-0\"", "\"1-1\"", "0-1", "\"\"", "nonsense"] {
        let again = store
            .call(with(get("/api/list"), "if-none-match", tag))
            .await;
        assert_eq!(keys_of(&again), ["k"], "{tag}");
    }
    assert_empty(&store.put(r#"{"key":"k","value":"1","version":1}"#).await);
    let again = store
        .call(with(get("/api/list"), "if-none-match", &tag))
        .await;
    assert_json(&again, r#"[{"key":"k","value":"1","version":2}]"#);
}

async fn a_put_from_before_a_reset_is_refused_by_its_epoch(mut store: Store) {
    let put = |value, version, epoch: u64| {
        format!(r#"{{"key":"k","value":"{value}","version":{version},"epoch":{epoch}}}"#)
    };
    let before = epoch(&mut store).await;
    assert_empty(&store.put(&put("1", 0, before)).await);
    assert_empty(&store.get("/api/reset").await);
    let after = epoch(&mut store).await;
    assert!(after > before);
    let problem = assert_problem(&store.put(&put("2", 0, before)).await, 428);
    assert_eq!(problem["epoch"], after);
    // One of the future likewise.
    let problem = assert_problem(&store.put(&put("2", 0, after + 1)).await, 428);
    assert_eq!(problem["epoch"], after);
    assert_json(&store.get("/api/list").await, "[]");
    assert_empty(&store.put(&put("2", 0, after)).await);
    // Which is what old clients send.
    assert_empty(&store.put(r#"{"key":"k","value":"3","version":1}"#).await);
}

async fn a_transaction_from_before_a_reset_is_refused_by_its_epoch(mut store: Store) {
    let before = epoch(&mut store).await;
    assert_empty(&store.get("/api/reset").await);
    let after = epoch(&mut store).await;
    let late = format!(r#"[{{"key":"a","epoch":{before}}},{{"key":"b","epoch":{before}}}]"#);
    let problem = assert_problem(&store.transaction(&late).await, 428);
    assert_eq!(problem["epoch"], after);
    // One that names it names it for all.
    let late = format!(r#"[{{"key":"a"}},{{"key":"b","epoch":{before}}}]"#);
    let problem = assert_problem(&store.transaction(&late).await, 428);
    assert_eq!(problem["epoch"], after);
    assert_json(&store.get("/api/list").await, "[]");
    let now = format!(r#"[{{"key":"a","epoch":{after}}},{{"key":"b","epoch":{after}}}]"#);
    assert_empty(&store.transaction(&now).await);
}

async fn a_reset_that_names_its_epoch_is_made_once(mut store: Store) {
    let before = epoch(&mut store).await;
    let reset = format!("/api/reset?epoch={before}");
    assert_empty(&store.get(&reset).await);
    assert_empty(&store.put(r#"{"key":"k","value":"1"}"#).await);
    let problem = assert_problem(&store.get(&reset).await, 428);
    assert_eq!(problem["epoch"], before + 1);
    for wrong in ["x", "", "-1"] {
        assert_problem(&store.get(&format!("/api/reset?epoch={wrong}")).await, 400);
    }
    assert_json(
        &store.get("/api/list").await,
        r#"[{"key":"k","value":"1","version":1}]"#,
    );
    // Old clients name none, and what else they say is ignored.
    assert_empty(&store.get("/api/reset?now=yes").await);
    assert_json(&store.get("/api/list").await, "[]");
}

/// The epoch that the store is in.
async fn epoch(store: &mut Store) -> u64 {
    let (epoch, _) = stamp(&store.get("/api/list").await);
    epoch
}

async fn puts_of_a_transaction_name_one_epoch(mut store: Store) {
    let two = r#"[{"key":"a","epoch":0},{"key":"b","epoch":1}]"#;
    assert_problem(&store.transaction(two).await, 400);
    assert_json(&store.get("/api/list").await, "[]");
}

async fn problems_are_sentences(mut store: Store) {
    let answers = [
        store.get("/api/get").await,
        store.put("{").await,
        store.put(r#"{"key":"","value":"","version":0}"#).await,
        store.put(r#"{"key":"k","value":"","version":9}"#).await,
        store.get("/nothing").await,
        store.get("/api/put").await,
    ];
    for answer in answers {
        let status = answer.status().as_u16();
        let problem = assert_problem(&answer, status);
        assert_eq!(problem["type"], "about:blank");
        let detail = problem["detail"].as_str().expect("it is text");
        assert!(detail.ends_with('.'), "{detail:?} is no sentence");
    }
}

async fn faults_cannot_be_injected_unless_asked_for(mut store: Store) {
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let answer = store.call(request(method, "/api/fault", "{}")).await;
        assert_problem(&answer, 404);
    }
}

async fn without_a_fault_there_are_only_counts(mut store: Store) {
    assert_json(
        &store.get("/api/fault").await,
        r#"{"faults":{},"requests":{},"failures":{}}"#,
    );
    assert_empty(&store.put(r#"{"key":"k"}"#).await);
    store.get("/api/get?id=k").await;
    store.get("/api/get").await;
    // Neither of these is a path of the store.
    store.get("/healthz").await;
    store.get("/api/other").await;
    assert_json(
        &store.get("/api/fault").await,
        r#"{"faults":{},"requests":{"/api/get":2,"/api/put":1},"failures":{"/api/get":0,"/api/put":0}}"#,
    );
}

async fn another_sites_page_changes_no_faults(mut store: Store) {
    let fault = r#"{"path":"/api/put","failNext":1}"#;
    let set = with(post("/api/fault", fault), "sec-fetch-site", "cross-site");
    assert_problem(&store.call(set).await, 403);
    assert_empty(&store.put(r#"{"key":"k"}"#).await);
    assert_empty(&store.fault(fault).await);
    let clear = request(Method::DELETE, "/api/fault", "");
    let clear = with(clear, "sec-fetch-site", "cross-site");
    assert_problem(&store.call(clear).await, 403);
    assert_problem(&store.put(r#"{"key":"l"}"#).await, 500);
}

async fn the_next_requests_to_a_path_fail(mut store: Store) {
    assert_empty(&store.fault(r#"{"path":"/api/put","failNext":2}"#).await);
    let put = r#"{"key":"k","value":"1","version":0}"#;
    assert_problem(&store.put(put).await, 500);
    assert_problem(&store.put(put).await, 500);
    let (_, revision) = stamp(&store.get("/api/list").await);
    assert_eq!(revision, 0);
    assert_empty(&store.put(put).await);

    assert_empty(
        &store
            .fault(r#"{"path":"/api/list","failNext":1,"status":503}"#)
            .await,
    );
    let problem = store.get("/api/list").await;
    assert_problem(&problem, 503);
    assert!(header(&problem, "retry-after").is_some());
    assert_eq!(keys_of(&store.get("/api/list").await), ["k"]);
    assert_json(
        &store.get("/api/fault").await,
        r#"{"faults":{"/api/list":{"failNext":0,"abortPercent":0,"status":503,"delay":"0s"},"/api/put":{"failNext":0,"abortPercent":0,"status":500,"delay":"0s"}},"requests":{"/api/list":3,"/api/put":3},"failures":{"/api/list":1,"/api/put":2}}"#,
    );
}

async fn a_third_fails_evenly_spread(mut store: Store) {
    assert_empty(
        &store
            .fault(r#"{"path":"/api/get","abortPercent":33}"#)
            .await,
    );
    let mut failed = Vec::new();
    for number in 0..100 {
        match store.get("/api/get?id=k").await.status().as_u16() {
            200 => {}
            500 => failed.push(number),
            other => panic!("{other}"),
        }
    }
    assert_eq!(failed.len(), 33);
    assert!(
        failed
            .windows(2)
            .all(|two| (3..=4).contains(&(two[1] - two[0])))
    );
}

async fn the_newest_fault_of_a_path_counts(mut store: Store) {
    assert_empty(&store.fault(r#"{"path":"/api/get","failNext":9}"#).await);
    assert_empty(
        &store
            .fault(r#"{"path":"/api/get","failNext":1,"status":418}"#)
            .await,
    );
    assert_problem(&store.get("/api/get?id=k").await, 418);
    assert_eq!(store.get("/api/get?id=k").await.status(), 200);
    assert_empty(
        &store
            .fault(r#"{"path":"/api/get","abortPercent":100}"#)
            .await,
    );
    assert_empty(&store.fault(r#"{"path":"/api/get"}"#).await);
    assert_eq!(store.get("/api/get?id=k").await.status(), 200);
}

async fn a_delay_comes_first(mut store: Store) {
    const DELAY: Duration = Duration::from_millis(300);
    assert_empty(
        &store
            .fault(r#"{"path":"/api/get","failNext":1,"delay":"300ms"}"#)
            .await,
    );
    for status in [500, 200] {
        let begun = Instant::now();
        assert_eq!(store.get("/api/get?id=k").await.status(), status);
        assert!(begun.elapsed() >= DELAY);
    }
    let report = json_of(&store.get("/api/fault").await);
    assert_eq!(report["faults"]["/api/get"]["delay"], "300ms");
}

async fn every_path_of_the_store_can_fail(mut store: Store) {
    let requests = [
        get("/api/get?id=k"),
        get("/api/list"),
        post("/api/put", r#"{"key":"k"}"#),
        post("/api/transaction", r#"[{"key":"l"}]"#),
        get("/api/reset"),
    ];
    for request in requests {
        let path = request.uri().path().to_owned();
        let wish = json!({ "path": path, "failNext": 1, "status": 599 }).to_string();
        assert_empty(&store.fault(&wish).await);
        assert_eq!(store.call(request.clone()).await.status(), 599, "{path}");
        assert_eq!(store.call(request).await.status(), 200, "{path}");
    }
}

async fn faults_and_counters_can_be_cleared(mut store: Store) {
    assert_empty(
        &store
            .fault(r#"{"path":"/api/get","abortPercent":100}"#)
            .await,
    );
    assert_problem(&store.get("/api/get?id=k").await, 500);
    assert_empty(&store.call(request(Method::DELETE, "/api/fault", "")).await);
    assert_json(
        &store.get("/api/fault").await,
        r#"{"faults":{},"requests":{},"failures":{}}"#,
    );
    assert_eq!(store.get("/api/get?id=k").await.status(), 200);
}

async fn a_wish_that_cannot_be_is_refused(mut store: Store) {
    for wish in [
        "",
        "{}",
        "[]",
        r#"["/api/put",1,0,500,""]"#,
        r#"{"path":7}"#,
        r#"{"path":"/api/other"}"#,
        r#"{"path":"/healthz"}"#,
        r#"{"path":"/api/fault"}"#,
        r#"{"path":"/api/put","failNext":-1}"#,
        r#"{"path":"/api/put","failNext":"1"}"#,
        r#"{"path":"/api/put","abortPercent":101}"#,
        r#"{"path":"/api/put","abortPercent":300}"#,
        r#"{"path":"/api/put","abortPercent":-1}"#,
        r#"{"path":"/api/put","status":200}"#,
        r#"{"path":"/api/put","status":399}"#,
        r#"{"path":"/api/put","status":1000}"#,
        r#"{"path":"/api/put","status":70000}"#,
        r#"{"path":"/api/put","delay":"soon"}"#,
        r#"{"path":"/api/put","delay":"2"}"#,
        r#"{"path":"/api/put","delay":"-1s"}"#,
        r#"{"path":"/api/put","delay":"11m"}"#,
        r#"{"path":"/api/put","delay":2}"#,
    ] {
        let answer = store.fault(wish).await;
        assert_eq!(answer.status(), 400, "{wish}");
        assert_problem(&answer, 400);
    }
    assert_json(
        &store.get("/api/fault").await,
        r#"{"faults":{},"requests":{},"failures":{}}"#,
    );
}

async fn a_wish_that_is_no_text_is_refused(mut store: Store) {
    let wish = &b"{\"path\":\"/api/put\",\"x\":\"\xff\"}"[..];
    assert_problem(&store.call(post("/api/fault", wish)).await, 400);
}

async fn other_methods_on_faults_are_refused(mut store: Store) {
    let answer = store.call(request(Method::PUT, "/api/fault", "")).await;
    assert_problem(&answer, 405);
}

#[tokio::test]
async fn fault_injection_is_off_and_loudly_warned_of_when_on() {
    let mut store = Kvstore::in_memory(&["--fault-injection"]);
    store.process.wait_for("FAULT INJECTION IS ON");
    let mut store = Kvstore::in_memory(&[]);
    store.stop().await;
    assert!(!store.process.log().contains("FAULT"));
}

/// Something that keeps the contract.
struct Store {
    place: Place,
}

enum Place {
    Process(BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>),
    Tcp {
        store: Box<Kvstore>,
        connection: Option<Connection>,
    },
}

impl Store {
    fn in_process(faults: bool) -> Self {
        let (kv, _) = spawn_embedded(Memory::new());
        let app = splitdim::kvstore::app(kv, faults.then(HttpFaults::new), Edge::default());
        let place = Place::Process(BoxCloneSyncService::new(app));
        Self { place }
    }

    async fn over_tcp(faults: bool) -> Self {
        let arguments: &[&str] = if faults { &["--fault-injection"] } else { &[] };
        let store = Box::new(Kvstore::on_disk(arguments));
        let connection = None;
        let place = Place::Tcp { store, connection };
        Self { place }
    }

    async fn call(&mut self, request: Request<Bytes>) -> Answer {
        match &mut self.place {
            Place::Process(app) => call(app.clone(), request).await,
            Place::Tcp { store, connection } => {
                let mut open = match connection.take() {
                    Some(open) => open,
                    None => store.connect().await,
                };
                let answer = ask(&mut open, &request).await.expect("it answers");
                // It ends after a body that was not read.
                if answer.status() != StatusCode::PAYLOAD_TOO_LARGE {
                    *connection = Some(open);
                }
                answer
            }
        }
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.call(get(path)).await
    }

    async fn put(&mut self, body: &str) -> Answer {
        self.call(post("/api/put", body.to_owned())).await
    }

    async fn transaction(&mut self, body: &str) -> Answer {
        self.call(post("/api/transaction", body.to_owned())).await
    }

    async fn fault(&mut self, body: &str) -> Answer {
        self.call(post("/api/fault", body.to_owned())).await
    }
}

/// Sends as much of `request` as a server wants to see, and reads the answer.
async fn ask(connection: &mut Connection, request: &Request<Bytes>) -> io::Result<Answer> {
    let mut bytes = bytes(request);
    // It is refused by its head. With bytes unread, the end of the connection could overtake the
    // answer.
    if request.body().len() > MAX_BODY {
        bytes.truncate(bytes.len() - request.body().len());
    }
    connection.write(&bytes).await?;
    let method = match request.headers().contains_key(UNCHANGED) {
        true => &Method::HEAD,
        false => request.method(),
    };
    connection.answer(method).await
}

async fn call(
    app: BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>,
    request: Request<Bytes>,
) -> Answer {
    let (mut parts, body) = request.into_parts();
    if !body.is_empty() || parts.method != Method::GET {
        parts.headers.insert(CONTENT_LENGTH, body.len().into());
    }
    let answer = app
        .oneshot(Request::from_parts(parts, Body::from(body)))
        .await;
    let (parts, body) = answer.expect("it always answers").into_parts();
    let body = body.collect().await.expect("bodies come whole").to_bytes();
    Response::from_parts(parts, body)
}

#[track_caller]
fn assert_empty(answer: &Answer) {
    let text = String::from_utf8_lossy(answer.body());
    assert_eq!((answer.status().as_u16(), &*text), (200, ""));
}

#[track_caller]
fn assert_json(answer: &Answer, expected: &str) {
    let text = String::from_utf8_lossy(answer.body());
    assert_eq!((answer.status().as_u16(), &*text), (200, expected));
    assert_eq!(header(answer, "content-type"), Some("application/json"));
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16) -> Value {
    let text = String::from_utf8_lossy(answer.body());
    assert_eq!(answer.status().as_u16(), status, "{text}");
    assert_eq!(
        header(answer, "content-type"),
        Some("application/problem+json")
    );
    let problem = json_of(answer);
    assert_eq!(problem["status"], status);
    let title = answer.status().canonical_reason();
    assert_eq!(problem["title"], title.unwrap_or("Error"));
    problem
}

/// Asserts that `answer` is a 400 that says this.
#[track_caller]
fn assert_detail(answer: &Answer, detail: &str) {
    assert_eq!(assert_problem(answer, 400)["detail"], detail);
}

#[track_caller]
fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(answer.body()).expect("it is JSON")
}

/// The epoch and revision that `answer` tells.
#[track_caller]
fn stamp(answer: &Answer) -> (u64, u64) {
    let number = |name| header(answer, name).and_then(|number| number.parse().ok());
    let number = |name| number(name).expect("it is told");
    (number("kvstore-epoch"), number("kvstore-revision"))
}

/// The keys that `answer` lists.
#[track_caller]
fn keys_of(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status(), 200);
    let Value::Array(entries) = json_of(answer) else {
        panic!("a list is no list");
    };
    let keys = entries
        .iter()
        .map(|entry| entry["key"].as_str().expect("it is text").to_owned());
    keys.collect()
}
