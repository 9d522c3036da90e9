//! What [`TokenBucket`] gives, and what it does not save.

use std::time::Duration;

use resilient::retry::TokenBucket;
use tokio::time::advance;
use tower::retry::budget::Budget;

#[tokio::test(start_paused = true)]
async fn it_begins_with_a_burst_and_no_more() {
    let bucket = TokenBucket::new(3, 0);
    assert_eq!(all(&bucket), 3);
    advance(Duration::from_secs(60)).await;
    assert_eq!(all(&bucket), 0);
}

#[tokio::test(start_paused = true)]
async fn each_success_earns_one() {
    let bucket = TokenBucket::new(3, 0);
    all(&bucket);
    bucket.deposit();
    bucket.deposit();
    assert_eq!(all(&bucket), 2);
}

#[tokio::test(start_paused = true)]
async fn much_success_is_not_saved() {
    let bucket = TokenBucket::new(3, 0);
    for _ in 0..1000 {
        bucket.deposit();
    }
    assert_eq!(all(&bucket), 3);
}

#[tokio::test(start_paused = true)]
async fn without_success_it_gives_so_many_a_second() {
    let bucket = TokenBucket::new(3, 2);
    all(&bucket);
    let mut given = 0;
    for _ in 0..100 {
        advance(Duration::from_millis(100)).await;
        given += all(&bucket);
    }
    assert!((19..=20).contains(&given), "{given}");
}

#[tokio::test(start_paused = true)]
async fn a_long_rest_fills_it_to_a_burst() {
    let bucket = TokenBucket::new(3, 2);
    all(&bucket);
    advance(Duration::from_secs(3600)).await;
    assert_eq!(all(&bucket), 3);
}

/// Takes all that there is.
fn all(bucket: &TokenBucket) -> u32 {
    let mut taken = 0;
    while bucket.withdraw() {
        taken += 1;
    }
    taken
}
