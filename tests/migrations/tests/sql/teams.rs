//! Teams and who is in them.

use serde_json::json;

use crate::Test;
use crate::cluster::{As, Cluster, become_, code, new_id};

pub const TESTS: &[Test] = &[
    ("a_team_is_made_filled_renamed_emptied_and_deleted", life),
    ("owners_and_admins_alone_change_teams", grants),
    ("a_team_has_members_of_its_organization_alone", foreigners),
    ("names_of_teams_are_unique_in_an_organization", names),
    ("an_organization_has_at_most_a_thousand_teams", bounds),
    ("a_team_that_is_unknown_or_somebody_elses_is_answered_alike", unknown),
];

fn life(cluster: &Cluster) {
    let org = cluster.organization("team-life");
    let admin = As::User(org.admin);
    let team = cluster.call(admin, "create_team", &json!({ "org_id": org.id, "name": "core" })).unwrap();
    assert_eq!([&team["name"], &team["members"]], [&json!("core"), &json!([])]);
    let place = json!({ "id": team["id"], "user_id": org.viewer });
    for _ in 0..2 {
        assert_eq!(cluster.call(admin, "add_team_member", &place).unwrap(), place);
    }
    let renamed = json!({ "id": team["id"], "name": "edge" });
    assert_eq!(cluster.call(admin, "rename_team", &renamed).unwrap(), renamed);
    let listed = cluster.call(As::User(org.viewer), "list_teams", &json!({ "org_id": org.id })).unwrap();
    assert_eq!(listed["teams"][0]["name"], "edge");
    assert_eq!(listed["teams"][0]["members"], json!([org.viewer]));
    cluster.call(admin, "remove_team_member", &place).unwrap();
    assert_eq!(cluster.refusal(admin, "remove_team_member", &place), ("PT404".into(), "user_id".into()));
    cluster.call(admin, "delete_team", &json!({ "id": team["id"] })).unwrap();
    assert_eq!(cluster.refusal(admin, "delete_team", &json!({ "id": team["id"] })).0, "PT404");
}

fn grants(cluster: &Cluster) {
    let org = cluster.organization("team-grants");
    let wish = json!({ "org_id": org.id, "name": "core" });
    let team = cluster.call(As::User(org.owner), "create_team", &wish).unwrap();
    let payload = json!({ "id": team["id"], "org_id": org.id, "name": "mine", "user_id": org.viewer });
    for who in [org.developer, org.viewer] {
        for function in ["create_team", "rename_team", "delete_team", "add_team_member", "remove_team_member"] {
            let refused = cluster.refusal(As::User(who), function, &payload);
            assert_eq!(refused, ("PT403".into(), "teams:write".into()), "{function}");
        }
    }
}

fn foreigners(cluster: &Cluster) {
    let org = cluster.organization("team-foreigners");
    let wish = json!({ "org_id": org.id, "name": "core" });
    let team = cluster.call(As::User(org.owner), "create_team", &wish).unwrap();
    let place = json!({ "id": team["id"], "user_id": cluster.stranger });
    assert_eq!(cluster.refusal(As::User(org.owner), "add_team_member", &place), ("PT404".into(), "user_id".into()));
    let by_service = cluster.transaction(|transaction| {
        become_(transaction, As::Service);
        let insert = "insert into public.team_members (team_id, org_id, user_id) values ($1::text::uuid, $2, $3)";
        transaction.execute(insert, &[&team["id"].as_str(), &cluster.other_org, &cluster.stranger]).unwrap_err()
    });
    assert_eq!(code(&by_service), "23503", "under the name of another organization");
}

fn names(cluster: &Cluster) {
    let org = cluster.organization("team-names");
    let make =
        |name: &str| cluster.call(As::User(org.owner), "create_team", &json!({ "org_id": org.id, "name": name }));
    let (one, _) = (make("one").unwrap(), make("two").unwrap());
    assert_eq!(code(&make("one").unwrap_err()), "PT409");
    let rename = json!({ "id": one["id"], "name": "two" });
    assert_eq!(cluster.refusal(As::User(org.owner), "rename_team", &rename), ("PT409".into(), "name".into()));
    assert_eq!(code(&make(&"x".repeat(101)).unwrap_err()), "PT422");
}

fn bounds(cluster: &Cluster) {
    let org = cluster.organization("team-bounds");
    let fill = "insert into public.teams (org_id, name) select $1, n::text from generate_series(1, 1000) n";
    cluster.superuser("postgres").execute(fill, &[&org.id]).unwrap();
    let wish = json!({ "org_id": org.id, "name": "one more" });
    assert_eq!(cluster.refusal(As::User(org.owner), "create_team", &wish), ("PT409".into(), "org_id".into()));
}

fn unknown(cluster: &Cluster) {
    let org = cluster.organization("team-unknown");
    let wish = json!({ "org_id": org.id, "name": "core" });
    let team = cluster.call(As::User(org.owner), "create_team", &wish).unwrap();
    for function in ["rename_team", "delete_team", "add_team_member", "remove_team_member"] {
        let errors = [team["id"].clone(), json!(new_id())].map(|id| {
            let payload = json!({ "id": id, "name": "mine", "user_id": cluster.stranger });
            let error = cluster.call(As::User(cluster.stranger), function, &payload).unwrap_err();
            assert_eq!(code(&error), "PT404");
            error.as_db_error().unwrap().to_string()
        });
        assert_eq!(errors[0], errors[1], "{function}");
    }
}
