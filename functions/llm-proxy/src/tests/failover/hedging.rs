use super::*;

const AFTER: (&str, &str) = ("LLM_HEDGE_AFTER_MS", "800");

fn hedged(primary: Vec<Try>, fallback: Vec<Try>) -> Scene {
    scene_with(&[AFTER], primary, fallback)
}

fn late(milliseconds: u64, answer: Try) -> Try {
    Try::Late(Duration::from_millis(milliseconds), Box::new(answer))
}

fn failing() -> Try {
    Try::Status(500, &[], "{}")
}

/// With a third route, by Ollama, whose tries come after those of the second.
fn with_third(variables: &[(&str, &str)], primary: Vec<Try>, others: Vec<Try>) -> Scene {
    let scene = scene_with(&[&[AFTER, ("OLLAMA_URL", "http://ollama.test")], variables].concat(), primary, others);
    routes(&scene, &["together", "simulator", "ollama"]);
    scene
}

/// Makes these the routes of `default`.
fn routes(scene: &Scene, providers: &[&str]) {
    let routes: Vec<_> = providers
        .iter()
        .enumerate()
        .map(|(index, provider)| json!({"provider": provider, "model": format!("model-{index}")}))
        .collect();
    let models = json!({"models": [{"alias": "default", "created": 1, "owned_by": "qlp", "routes": routes}]});
    scene.database.lock().unwrap().models = models;
}

/// How often the first two providers were asked.
fn asked(scene: &Scene) -> [usize; 2] {
    let requests = scene.host.http.requests();
    let of = |host| requests.iter().filter(|request| request.uri.host() == Some(host)).count();
    [of("together.test"), of("simulator.test")]
}

fn milliseconds(scene: &Scene, since: platform::Timestamp) -> u128 {
    scene.host.clock.now().duration_since(since).as_millis()
}

/// Who answers, and after how many milliseconds.
fn timed(scene: &Scene, request: &str) -> ((String, String), u128) {
    let started = scene.host.clock.now();
    let answer = scene.complete(request).unwrap();
    (answered(&answer), milliseconds(scene, started))
}

/// The only row: who answered, at how many tries, and how it ended.
fn row(scene: &Scene) -> (Value, Value, Value) {
    let mut event = scene.event();
    (event["provider"].take(), event["attempts"].take(), event["status"].take())
}

#[test]
fn without_the_setting_a_slow_provider_is_waited_for() {
    for variables in [&[][..], &[("LLM_HEDGE_AFTER_MS", "0")]] {
        for (request, answer) in [(REQUEST, Try::Whole), (STREAM, whole_stream())] {
            let scene = scene_with(variables, vec![late(20_000, answer)], vec![]);
            assert_eq!(timed(&scene, request), (by("together", 1), 20_000));
            assert_eq!(asked(&scene), [1, 0]);
        }
    }
}

#[test]
fn beside_a_slow_answer_in_one_piece_the_next_route_is_asked_and_the_slow_one_cancelled() {
    let (handle, body) = streamed_body();
    handle.send("{");
    let scene = hedged(vec![Try::Begun(body)], vec![late(100, Try::Whole)]);
    assert_eq!(timed(&scene, REQUEST), (by("simulator", 2), 900));
    assert!(handle.is_dropped());
    assert_eq!(asked(&scene), [1, 1]);
    let event = scene.event();
    let members = ["provider", "model", "attempts", "status", "cost_nano_usd"].map(|name| event[name].clone());
    let answer = 4 * 150 + 2 * 600;
    assert_eq!(members, [json!("simulator"), json!("m-2"), json!(2), json!("success"), json!(answer)]);
}

#[test]
fn beside_a_stream_without_text_the_next_route_is_asked_and_the_slow_one_cancelled() {
    for parts in [&[][..], &[ROLE]] {
        let (slow, handle) = stream(parts, false);
        let scene = hedged(vec![slow], vec![late(100, whole_stream())]);
        let started = scene.host.clock.now();
        let answer = scene.complete(STREAM).unwrap();
        assert_eq!((answered(&answer), milliseconds(&scene, started)), (by("simulator", 2), 900));
        assert!(handle.unwrap().is_dropped());
        assert_eq!(text(&scene, answer), [ROLE, HELLO, STOP, DONE].concat());
        assert_eq!(row(&scene), (json!("simulator"), json!(2), json!("success")));
    }
}

#[test]
fn who_answers_just_before_is_asked_alone() {
    for (request, answer) in [(REQUEST, Try::Whole), (STREAM, whole_stream())] {
        let scene = hedged(vec![late(799, answer)], vec![]);
        assert_eq!(timed(&scene, request), (by("together", 1), 799));
        assert_eq!(asked(&scene), [1, 0]);
    }
}

#[test]
fn a_stream_that_has_begun_is_alone_however_slow_it_goes_on() {
    let (begun, handle) = stream(&[ROLE, HELLO], false);
    let scene = hedged(vec![begun], vec![]);
    let answer = scene.complete(STREAM).unwrap();
    scene.host.clock.advance(Duration::from_secs(5));
    let handle = handle.unwrap();
    handle.send(STOP);
    handle.send(DONE);
    handle.finish();
    assert_eq!(text(&scene, answer), [ROLE, HELLO, STOP, DONE].concat());
    assert_eq!(row(&scene), (json!("together"), json!(1), json!("success")));
}

#[test]
fn the_slow_one_may_still_be_the_first() {
    for (request, first, (second, handle)) in
        [(REQUEST, Try::Whole, begun()), (STREAM, whole_stream(), stream(&[ROLE], false))]
    {
        let scene = hedged(vec![late(900, first)], vec![second]);
        let started = scene.host.clock.now();
        let answer = scene.complete(request).unwrap();
        assert_eq!((answered(&answer), milliseconds(&scene, started)), (by("together", 2), 900));
        assert!(handle.unwrap().is_dropped());
        text(&scene, answer);
        assert_eq!(row(&scene), (json!("together"), json!(2), json!("success")));
    }
}

/// An answer in one piece of which only the head comes.
fn begun() -> (Try, Option<StreamHandle>) {
    let (handle, body) = streamed_body();
    (Try::Begun(body), Some(handle))
}

#[test]
fn who_fails_before_is_followed_as_ever_and_the_next_try_may_be_hedged() {
    let scene = hedged(vec![late(500, failing()), Try::Silent], vec![Try::Whole]);
    let ((provider, attempts), after) = timed(&scene, REQUEST);
    assert_eq!((provider.as_str(), attempts.as_str()), ("simulator", "3"));
    assert!((1_500..=1_700).contains(&after), "500, a pause of 200 to 400, 800: {after}");
    assert_eq!(asked(&scene), [2, 1]);
}

#[test]
fn a_route_that_has_failed_is_not_asked_beside_the_one_after_it() {
    let scene = hedged(vec![failing(), failing()], vec![late(5_000, Try::Whole)]);
    assert_eq!(answered(&scene.complete(REQUEST).unwrap()), by("simulator", 3));
    assert_eq!(asked(&scene), [2, 1]);
}

#[test]
fn if_one_of_the_two_fails_the_other_goes_on() {
    for (first, second, provider, after) in [
        (late(900, failing()), late(1_000, Try::Whole), "simulator", 1_800),
        (late(2_000, Try::Whole), late(100, failing()), "together", 2_000),
        (late(2_000, Try::Whole), Try::Status(400, &[], "{}"), "together", 2_000),
    ] {
        let scene = hedged(vec![first], vec![second]);
        assert_eq!(timed(&scene, REQUEST), (by(provider, 2), after));
        assert_eq!(row(&scene), (json!(provider), json!(2), json!("success")));
    }
}

#[test]
fn if_both_fail_the_routes_that_are_left_follow_and_neither_is_tried_again() {
    let scene = with_third(&[], vec![late(900, failing())], vec![late(300, failing()), Try::Whole]);
    assert_eq!(timed(&scene, REQUEST), (by("ollama", 3), 1_100));
    assert_eq!(asked(&scene), [1, 1]);
    let scene = hedged(vec![late(900, failing())], vec![late(300, failing())]);
    assert_eq!(refused(scene.complete(REQUEST).unwrap_err()).0, 502);
    assert_eq!(row(&scene), (json!("simulator"), json!(2), json!("upstream_error")));
}

#[test]
fn a_call_is_hedged_once() {
    let scene = with_third(&[], vec![late(5_000, Try::Whole)], vec![late(5_000, Try::Whole)]);
    assert_eq!(timed(&scene, REQUEST), (by("together", 2), 5_000));
    let scene = with_third(&[], vec![late(900, failing())], vec![late(1_000, failing()), late(5_000, Try::Whole)]);
    routes(&scene, &["together", "simulator", "ollama", "together"]);
    assert_eq!(timed(&scene, REQUEST), (by("ollama", 3), 6_800));
}

#[test]
fn a_credential_is_asked_once_at_a_time() {
    let scene = hedged(vec![late(900, failing()), Try::Whole], vec![failing()]);
    routes(&scene, &["together", "together", "simulator"]);
    assert_eq!(timed(&scene, REQUEST), (by("together", 3), 900));
    assert_eq!(asked(&scene), [2, 1]);
    let scene = hedged(vec![late(5_000, Try::Whole)], vec![]);
    routes(&scene, &["together", "together"]);
    assert_eq!(timed(&scene, REQUEST), (by("together", 1), 5_000));
}

#[test]
fn a_wrong_request_is_answered_at_once() {
    let wrong = Try::Status(400, &[], r#"{"error":{"message":"filtered","code":"content_filter"}}"#);
    let (second, handle) = begun();
    let scene = hedged(vec![late(900, wrong)], vec![second]);
    let started = scene.host.clock.now();
    let answer = scene.complete(REQUEST).unwrap();
    assert_eq!((answer.status().as_u16(), answered(&answer)), (400, by("together", 2)));
    assert_eq!(milliseconds(&scene, started), 900);
    assert!(handle.unwrap().is_dropped());
    assert_eq!(row(&scene), (json!("together"), json!(2), json!("upstream_error")));
}

#[test]
fn what_the_second_finds_wrong_is_told_when_the_first_has_failed() {
    let scene = with_third(&[], vec![late(2_000, failing())], vec![Try::Status(400, &[], "{}")]);
    let answer = scene.complete(REQUEST).unwrap();
    assert_eq!((answer.status().as_u16(), answered(&answer)), (400, by("simulator", 2)));
}

#[test]
fn a_route_that_is_left_alone_is_not_asked_beside_another() {
    let slow = || late(2_000, Try::Whole);
    let scene = scene_with(&[AFTER, ("LLM_BREAKER_FAILURES", "1")], vec![slow(), slow()], vec![failing()]);
    assert_eq!(timed(&scene, REQUEST), (by("together", 2), 2_000));
    assert_eq!(timed(&scene, REQUEST), (by("together", 1), 2_000));
    let fallbacks = vec![failing(), Try::Whole];
    let scene = with_third(&[("LLM_BREAKER_FAILURES", "1")], vec![slow(), slow()], fallbacks);
    assert_eq!(timed(&scene, REQUEST), (by("together", 2), 2_000));
    assert_eq!(timed(&scene, REQUEST), (by("ollama", 2), 800), "the one after it is");
}

#[test]
fn to_be_slower_is_no_failure() {
    let variables = [AFTER, ("LLM_BREAKER_FAILURES", "1")];
    let primary = vec![Try::Silent, failing(), Try::Silent, Try::Whole];
    let scene = scene_with(&variables, primary, (0..3).map(|_| Try::Whole).collect());
    assert_eq!(timed(&scene, REQUEST), (by("simulator", 2), 800));
    assert_eq!(answered(&scene.complete(REQUEST).unwrap()), by("simulator", 2), "it was asked first");
    scene.host.clock.advance(Duration::from_secs(5));
    assert_eq!(timed(&scene, REQUEST), (by("simulator", 2), 800), "the one that tries it gives up");
    assert_eq!(timed(&scene, REQUEST), (by("together", 1), 0), "the next one tries");
}

#[test]
fn tries_are_bounded_and_have_one_deadline_together() {
    let fallbacks = vec![failing(), late(5_000, Try::Whole)];
    let scene = with_third(&[], vec![failing(), failing()], fallbacks);
    assert_eq!(answered(&scene.complete(REQUEST).unwrap()), by("simulator", 4));
    assert_eq!(asked(&scene), [2, 2]);
    let variables = [("LLM_ANSWER_TIMEOUT_MS", "4500"), ("LLM_STREAM_TIMEOUT_MS", "4500"), AFTER];
    let primary = vec![Try::Status(429, &[("retry-after", "4")], "{}"), late(3_000, Try::Whole)];
    let scene = scene_with(&variables, primary, vec![]);
    assert_eq!(timed(&scene, REQUEST), (by("together", 2), 7_000));
}

#[test]
fn a_caller_that_hangs_up_ends_both_and_leaves_one_row() {
    for (wait, attempts) in [(799, 1), (800, 2)] {
        let (first, first_handle) = stream(&[ROLE], false);
        let (second, second_handle) = stream(&[ROLE], false);
        let scene = hedged(vec![first], vec![second]);
        let context = scene.host.context();
        let mut call = Box::pin(scene.proxy.route(post(STREAM), caller(), &context));
        for _ in 0..3 {
            assert!(futures_util::FutureExt::now_or_never(&mut call).is_none());
            scene.admit();
        }
        scene.host.clock.advance(Duration::from_millis(wait));
        assert!(futures_util::FutureExt::now_or_never(&mut call).is_none());
        assert_eq!(asked(&scene).iter().sum::<usize>(), attempts);
        drop(call);
        assert!(first_handle.unwrap().is_dropped());
        assert_eq!(second_handle.unwrap().is_dropped(), attempts == 2);
        assert_eq!(row(&scene), (json!("together"), json!(attempts), json!("client_closed")));
    }
}

#[test]
fn what_the_winner_said_is_logged_once() {
    let said = |text: &str| {
        let hello = HELLO.replace("Hello", text);
        stream(&[ROLE, &hello, STOP, DONE], true).0
    };
    for (first, second, text) in [
        (late(2_000, said("first")), late(100, said("second")), "second"),
        (late(900, said("first")), late(1_000, said("second")), "first"),
    ] {
        let scene = hedged(vec![first], vec![second]);
        let mut caller = caller();
        caller.payer.member.org = Some(Uuid::from_u128(9));
        caller.payer.logs_prompts = true;
        let answer = scene.run(scene.proxy.route(post(STREAM), caller, &scene.host.context())).unwrap();
        super::text(&scene, answer);
        scene.event();
        let logged: Vec<_> =
            scene.database.lock().unwrap().logged.iter_mut().map(|logged| logged["answer"].take()).collect();
        assert_eq!(logged, [text]);
    }
}
