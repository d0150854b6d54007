//! Which generation of a tenant's cached answers counts.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Test;
use crate::cluster::{As, Cluster, code, new_id};

pub const TESTS: &[Test] = &[
    ("each_purge_begins_another_generation_of_that_tenant_alone", purges),
    ("who_sets_the_limits_of_an_organization_purges_its_cache", purged_by),
    ("a_user_without_an_organization_purges_their_own", alone),
];

fn generation(cluster: &Cluster, tenant: Uuid) -> Value {
    cluster.call(As::Service, "llm_cache_generation", &json!({ "tenant": tenant })).unwrap()["generation"].clone()
}

fn purges(cluster: &Cluster) {
    let (one, other) = (cluster.organization("purges"), cluster.organization("purges-not"));
    assert_eq!(generation(cluster, one.id), 0);
    for expected in [1, 2] {
        let purged = cluster.call(As::User(one.owner), "purge_llm_cache", &json!({ "org_id": one.id })).unwrap();
        assert_eq!((&purged["generation"], &generation(cluster, one.id)), (&json!(expected), &json!(expected)));
    }
    assert_eq!(generation(cluster, other.id), 0);
}

fn purged_by(cluster: &Cluster) {
    let org = cluster.organization("purged-by");
    let payload = json!({ "org_id": org.id });
    let refused = |who| cluster.refusal(As::User(who), "purge_llm_cache", &payload).0;
    assert_eq!(refused(org.developer), "PT403");
    assert_eq!(refused(cluster.stranger), "PT404");
    assert_eq!(generation(cluster, org.id), 0);
    cluster.call(As::User(org.owner), "purge_llm_cache", &payload).unwrap();
    assert_eq!(code(&cluster.call(As::Anonymous, "purge_llm_cache", &payload).unwrap_err()), "42501");
    let asked = cluster.call(As::User(org.owner), "llm_cache_generation", &json!({ "tenant": org.id }));
    assert_eq!(code(&asked.unwrap_err()), "42501");
}

fn alone(cluster: &Cluster) {
    let before = generation(cluster, cluster.stranger);
    assert_eq!(generation(cluster, new_id()), 0);
    cluster.call(As::User(cluster.stranger), "purge_llm_cache", &json!({})).unwrap();
    assert_eq!(before.as_u64().unwrap() + 1, generation(cluster, cluster.stranger).as_u64().unwrap());
}
