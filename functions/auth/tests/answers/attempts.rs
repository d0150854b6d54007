use std::time::Duration;

use platform::Response;
use serde_json::json;

use crate::{Answer, Scene};

/// A project where every password is wrong.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.host.http.handle(|request| async move {
        assert_eq!(request.uri().path(), "/auth/v1/token");
        let mut response = Response::new(r#"{"error_code":"invalid_credentials","msg":"no"}"#.into());
        *response.status_mut() = http::StatusCode::BAD_REQUEST;
        response.headers_mut().insert("content-type", "application/json".parse().unwrap());
        Ok(response)
    });
    scene
}

fn guess(scene: &Scene, account: &str, address: &str) -> Answer {
    let body = json!({"email": account, "password": "a guess"}).to_string();
    scene.post("/auth/login", "application/json", body, address)
}

/// How long whoever guesses has to wait before the next guess is taken, by what they are told; 0 if it was taken at once.
fn wait(scene: &Scene, account: &str, address: &str) -> u64 {
    let refused = guess(scene, account, address);
    if refused.status == 401 {
        return 0;
    }
    assert_eq!(refused.status, 429, "{refused:?}");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    scene.host.clock.advance(Duration::from_secs(seconds));
    assert_eq!(guess(scene, account, address).status, 401, "whoever waits as long as told gets through");
    seconds
}

#[test]
fn whoever_waits_as_long_as_told_gets_through_and_waits_longer_the_more_they_guess() {
    let scene = scene();
    let waits: Vec<_> = (0..40).map(|_| wait(&scene, "a@example.com", "192.0.2.1")).collect();
    assert_eq!(waits[..5], [0; 5], "a burst");
    let longest = |range: std::ops::Range<usize>| waits[range].iter().copied().max().unwrap();
    assert_eq!(longest(5..10), 12, "then one in 12 s: {waits:?}");
    assert_eq!(longest(11..29), 90, "then one in a minute and a half: {waits:?}");
    assert_eq!(longest(32..40), 2880, "then one in 48 minutes: {waits:?}");
    assert!(waits[32..].iter().all(|wait| *wait == 2880), "{waits:?}");
}

#[test]
fn a_wrong_password_and_an_unknown_account_are_answered_and_delayed_alike() {
    let scene = scene();
    for _ in 0..8 {
        let [one, other] =
            ["known@example.com", "unknown@example.com"].map(|account| guess(&scene, account, "192.0.2.1"));
        assert_eq!(one, other);
    }
    assert_eq!(guess(&scene, "KNOWN@example.com", "192.0.2.1").status, 429, "however it is written");
}

#[test]
fn who_guesses_from_one_network_keeps_nobody_out_elsewhere() {
    let scene = scene();
    (0..40).for_each(|_| drop(guess(&scene, "a@example.com", "2001:db8::1")));
    assert_eq!(guess(&scene, "a@example.com", "2001:db8::ffff").status, 429, "the same network");
    assert_eq!(guess(&scene, "a@example.com", "192.0.2.1").status, 401);
}

#[test]
fn an_account_is_guessed_at_two_hundred_times_a_day_from_however_many_networks() {
    let scene = scene();
    let mut taken = 0;
    for third in 0..200 {
        for last in 0..5 {
            let address = format!("10.{third}.0.{last}");
            taken += u32::from(guess(&scene, "a@example.com", &address).status == 401);
        }
        scene.host.clock.advance(Duration::from_mins(5));
    }
    // All 200 at once, and as many again evenly over the 16.6 hours that this takes.
    assert!((300..=340).contains(&taken), "{taken}");
}

#[test]
fn a_network_guesses_at_two_hundred_accounts_and_then_one_every_few_seconds() {
    let scene = scene();
    let account = |number: u32| format!("{number}@example.com");
    let answers: Vec<_> = (0..220).map(|number| guess(&scene, &account(number), "192.0.2.1")).collect();
    assert_eq!(answers.iter().filter(|answer| answer.status == 401).count(), 200);
    assert_eq!(answers[219].header("retry-after"), "3");
    assert_eq!(wait(&scene, "another@example.com", "192.0.2.1"), 3);
    assert_eq!(guess(&scene, "another@example.com", "192.0.2.2").status, 401);
}

#[test]
fn attempts_that_cannot_be_counted_are_refused() {
    let scene = scene();
    scene.host.ledger.fail_with(platform::StoreError::Unavailable("away".into()));
    let refused = guess(&scene, "a@example.com", "192.0.2.1");
    assert_eq!((refused.status, refused.header("retry-after")), (503, "5"));
    assert!(scene.host.http.requests().is_empty());
}
