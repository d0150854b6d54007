//! Nobody waits for somebody who waits for them.

use std::sync::Barrier;
use std::thread;

use local_supabase::Login;
use postgres::Client;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, call, code, wait_until_blocked};

pub const TESTS: &[Test] = &[
    ("an_organization_is_deleted_after_those_who_change_its_members", deletion_and_change),
    ("of_two_who_delete_an_organization_at_once_one_does", deletion_twice),
    ("organizations_with_the_same_members_are_deleted_at_once", crossing_deletions),
    ("two_owners_hand_their_organizations_to_each_other_at_once", crossing_transfers),
];

/// How often what depends on who comes first is tried.
const ROUNDS: usize = 5;

fn commit(client: &mut Client, who: As, function: &str, payload: &Value) -> String {
    let mut transaction = client.transaction().unwrap();
    match call(&mut transaction, who, function, payload) {
        Ok(_) => transaction.commit().map_or_else(|error| code(&error).to_owned(), |()| "fine".to_owned()),
        Err(error) => code(&error).to_owned(),
    }
}

fn deletion_and_change(cluster: &Cluster) {
    let org = cluster.organization("lock-change");
    let second = cluster.user("lock-change-second");
    cluster.join(org.id, second, "owner");
    let change = |user: Uuid, role: &str| json!({ "org_id": org.id, "user_id": user, "role": role });
    let mut deleter = cluster.login(Login::Authenticator);
    let pid: i32 = deleter.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    let mut changer = cluster.login(Login::Authenticator);
    let outcome = thread::scope(|scope| {
        let mut transaction = changer.transaction().unwrap();
        let who = As::User(org.owner);
        call(&mut transaction, who, "change_member_role", &change(org.viewer, "developer")).unwrap();
        let of = json!({ "org_id": org.id });
        let waiting = scope.spawn(move || commit(&mut deleter, who, "delete_organization", &of));
        wait_until_blocked(&mut cluster.superuser("postgres"), pid);
        // One that asks whether an owner is left, and so locks the organization.
        call(&mut transaction, who, "change_member_role", &change(second, "admin")).unwrap();
        transaction.commit().unwrap();
        waiting.join().unwrap()
    });
    assert_eq!(outcome, "fine");
}

fn deletion_twice(cluster: &Cluster) {
    let org = cluster.organization("lock-twice");
    let wish = ("delete_organization", json!({ "org_id": org.id }));
    let mut clients = two_clients(cluster);
    let mut outcomes = at_once(&mut clients, [(org.owner, &wish), (org.owner, &wish)]);
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["PT404", "fine"]);
}

fn two_clients(cluster: &Cluster) -> [Client; 2] {
    [cluster.login(Login::Authenticator), cluster.login(Login::Authenticator)]
}

/// Calls a function as each of two users at once, and returns how both ended.
fn at_once([one, other]: &mut [Client; 2], calls: [(Uuid, &(&str, Value)); 2]) -> [String; 2] {
    let together = Barrier::new(2);
    thread::scope(|scope| {
        let together = &together;
        let act = |client: &mut Client, (who, (function, payload)): (Uuid, &(&str, Value))| {
            together.wait();
            commit(client, As::User(who), function, payload)
        };
        let waiting = scope.spawn(move || act(one, calls[0]));
        [act(other, calls[1]), waiting.join().unwrap()]
    })
}

fn new_organization(cluster: &Cluster, owner: Uuid, members: &[Uuid]) -> Value {
    let made = cluster.call(As::User(owner), "create_organization", &json!({ "name": "locks" })).unwrap();
    let id: Uuid = made["id"].as_str().unwrap().parse().unwrap();
    let join = "insert into public.organization_members (org_id, user_id, role)
                select $1, id, 'viewer' from unnest($2::uuid[]) with ordinality as member (id, position) order by position";
    cluster.superuser("postgres").execute(join, &[&id, &members]).unwrap();
    made["id"].clone()
}

fn crossing_deletions(cluster: &Cluster) {
    let (one, other) = (cluster.user("lock-cross-one"), cluster.user("lock-cross-other"));
    let members: Vec<_> = (0..6).map(|number| cluster.user(&format!("lock-cross-{number}"))).collect();
    let reversed: Vec<_> = members.iter().rev().copied().collect();
    let mut clients = two_clients(cluster);
    for round in 0..ROUNDS {
        let forth = new_organization(cluster, one, &members);
        let back = new_organization(cluster, other, &reversed);
        let wish = |org: Value| ("delete_organization", json!({ "org_id": org }));
        let outcomes = at_once(&mut clients, [(one, &wish(forth)), (other, &wish(back))]);
        assert_eq!(outcomes, ["fine", "fine"], "round {round}");
    }
}

fn crossing_transfers(cluster: &Cluster) {
    let (one, other) = (cluster.user("lock-transfer-one"), cluster.user("lock-transfer-other"));
    let mut clients = two_clients(cluster);
    for round in 0..ROUNDS {
        let orgs = [(one, other), (other, one)].map(|(owner, member)| {
            let org = new_organization(cluster, owner, &[member]);
            ("transfer_ownership", json!({ "org_id": org, "user_id": member }))
        });
        let outcomes = at_once(&mut clients, [(one, &orgs[0]), (other, &orgs[1])]);
        assert_eq!(outcomes, ["fine", "fine"], "round {round}");
    }
}
