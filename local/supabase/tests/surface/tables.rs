//! `/rest/v1/<table>`.

use serde_json::{Value, json};

use crate::Test;
use crate::rig::{Answer, As, Rig};

pub const TESTS: &[Test] = &[
    ("filters_select_rows", filters),
    ("columns_order_limit_and_offset_apply", pages),
    ("a_count_is_given_when_it_is_asked_for", counts),
    ("a_list_of_rows_is_cut_at_a_thousand", long_lists),
    ("one_row_can_be_asked_for", single_rows),
    ("row_level_security_hides_rows_from_users_but_not_from_the_service", security),
    ("unknown_tables_columns_and_operators_are_refused", unknown),
    ("values_cannot_become_sql", injection),
    ("tables_cannot_be_written", writing),
];

fn get(rig: &Rig, query: &str) -> Answer {
    rig.surface.get(As::Anonymous, &format!("/rest/v1/notes?{query}"))
}

fn ids(rig: &Rig, query: &str) -> Vec<i64> {
    let answer = get(rig, &format!("select=id&order=id&{query}"));
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json().as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

fn filters(rig: &Rig) {
    let cases: [(&str, &[i64]); 14] = [
        ("id=eq.2", &[2]),
        ("id=lt.3", &[1, 2]),
        ("id=lte.2", &[1, 2]),
        ("id=gt.1498", &[1499, 1500]),
        ("id=gte.1499&id=neq.1500", &[1499]),
        ("id=in.(1,5,99999)", &[1, 5]),
        ("id=in.()", &[]),
        ("body=in.(%22with,%20comma%20%5C%22and%5C%22%20quotes%22,note%201)", &[1, 4]),
        ("body=is.null", &[3]),
        ("body=not.is.null&id=lt.5", &[1, 2, 4]),
        ("done=is.true&id=lt.5", &[2, 4]),
        ("body=like.note%20149*&id=gt.1490", &[1490 + 1, 1492, 1493, 1494, 1495, 1496, 1497, 1498, 1499]),
        ("body=ilike.NOTE%201500", &[1500]),
        ("id=not.in.(1,2)&id=lt.4", &[3]),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(rig, query), expected, "{query}");
    }
}

fn pages(rig: &Rig) {
    let answer = get(rig, "select=id,body&order=id.desc&limit=2&offset=1");
    assert_eq!(answer.json(), json!([{ "id": 1499, "body": "note 1499" }, { "id": 1498, "body": "note 1498" }]));
    assert_eq!(answer.header("content-range"), Some("1-2/*"));
    let answer = get(rig, "select=id&order=body.desc.nullsfirst,id.asc&limit=1");
    assert_eq!(answer.json(), json!([{ "id": 3 }]));
    let all: Value = get(rig, "id=eq.1").json();
    let fields: Vec<_> = all[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields.len(), 4, "every column: {fields:?}");
    assert!(all[0]["at"].as_str().unwrap().ends_with("+00:00"));
}

fn counts(rig: &Rig) {
    let count = |method: &str, query: &str| {
        let path = format!("/rest/v1/notes?{query}");
        rig.surface.send(method, As::Anonymous, &path, &[("prefer", "count=exact")], "").unwrap()
    };
    let answer = count("GET", "id=lt.5&limit=2&order=id");
    assert_eq!((answer.status, answer.header("content-range")), (206, Some("0-1/4")));
    let answer = count("GET", "id=lt.3");
    assert_eq!((answer.status, answer.header("content-range")), (200, Some("0-1/2")));
    let answer = count("GET", "id=lt.0");
    assert_eq!((answer.status, answer.header("content-range")), (200, Some("*/0")));
    let answer = count("HEAD", "id=lt.3");
    assert_eq!((answer.header("content-range"), answer.text.as_str()), (Some("0-1/2"), ""));
}

fn long_lists(rig: &Rig) {
    let answer = get(rig, "select=id&limit=5000");
    assert_eq!((answer.status, answer.header("content-range")), (200, Some("0-999/*")));
    assert_eq!(answer.json().as_array().unwrap().len(), 1000);
}

fn single_rows(rig: &Rig) {
    let single = |query: &str| {
        let headers = [("accept", "application/vnd.pgrst.object+json")];
        rig.surface.send("GET", As::Anonymous, &format!("/rest/v1/notes?{query}"), &headers, "").unwrap()
    };
    assert_eq!(single("select=id&id=eq.7").json(), json!({ "id": 7 }));
    assert_eq!(single("id=eq.0").error(), (406, "PGRST116".into()));
    assert_eq!(single("id=lt.3").error(), (406, "PGRST116".into()));
}

fn security(rig: &Rig) {
    assert_eq!(get(rig, "id=eq.10001").json(), json!([]));
    let found = rig.surface.get(As::Service, "/rest/v1/notes?id=eq.10001&select=body").json();
    assert_eq!(found, json!([{ "body": "hidden" }]));
    let (mine, other) = (rig.surface.sign_up(), rig.surface.sign_up());
    let rows =
        |query: &str| rig.surface.get(As::User(mine.token()), &format!("/rest/v1/users?select=id{query}")).json();
    assert_eq!(rows(""), json!([{ "id": mine.id }]));
    assert_eq!(rows(&format!("&id=eq.{}", other.id)), json!([]));
    assert_eq!(rig.surface.get(As::Anonymous, "/rest/v1/users").error(), (401, "42501".into()));
    assert_eq!(rig.surface.get(As::User(mine.token()), "/rest/v1/model_routes").error(), (403, "42501".into()));
    assert_eq!(
        rig.surface.get(As::User(mine.token()), "/rest/v1/api_keys?select=digest").error(),
        (403, "42501".into())
    );
}

fn unknown(rig: &Rig) {
    let table = rig.surface.get(As::Anonymous, "/rest/v1/no_such");
    assert_eq!(table.error(), (404, "PGRST205".into()));
    assert_eq!(table.json()["message"], "Could not find the table 'public.no_such' in the schema cache");
    for query in ["no_such=eq.1", "select=no_such", "order=no_such"] {
        assert_eq!(get(rig, query).error(), (400, "42703".into()), "{query}");
    }
    for query in ["id=1", "id=fts.x", "or=(id.eq.1)", "select=id,other(*)", "limit=x", "id=in.1,2", "id=is.1"] {
        assert_eq!(get(rig, query).error(), (400, "PGRST100".into()), "{query}");
    }
    assert_eq!(get(rig, "id=eq.x").error(), (400, "22P02".into()));
    for path in ["/rest/v1/", "/rest/v1/a/b", "/rest/v1/rpc/a/b"] {
        assert_eq!(rig.surface.get(As::Anonymous, path).error(), (404, "PGRST125".into()), "{path}");
    }
}

fn injection(rig: &Rig) {
    for hostile in ["1);drop table public.notes;--", "1' or '1'='1", "$1", "\\", "%00"] {
        let encoded = hostile.replace('\'', "%27").replace(' ', "%20").replace('\\', "%5C").replace(';', "%3B");
        for query in [format!("body=eq.{encoded}"), format!("body=in.({encoded})"), format!("body=like.{encoded}")] {
            let answer = get(rig, &query);
            assert!(answer.json() == json!([]) || answer.status == 400, "{query}: {answer:?}");
        }
        for query in [
            format!("{encoded}=eq.1"),
            format!("select={encoded}"),
            format!("order={encoded}"),
            format!("limit={encoded}"),
        ] {
            assert_eq!(get(rig, &query).status, 400, "{query}");
        }
    }
    assert_eq!(ids(rig, "id=lt.3"), [1, 2]);
}

fn writing(rig: &Rig) {
    for method in ["POST", "PATCH", "PUT", "DELETE"] {
        let answer = rig.surface.send(method, As::Service, "/rest/v1/notes?id=eq.1", &[], "{}").unwrap();
        assert_eq!(answer.error(), (405, "PGRST117".into()), "{method}");
    }
}
