//! How tables and functions are declared.

use crate::Test;
use crate::cluster::Cluster;

pub const TESTS: &[Test] = &[
    ("every_table_has_row_level_security_a_comment_and_an_owner_that_is_no_superuser", tables),
    ("every_function_of_the_api_takes_one_jsonb_named_payload_and_returns_one", signatures),
    ("every_function_has_a_comment_and_a_fixed_search_path", functions),
    ("nothing_can_be_called_without_a_grant_to_a_role", grants),
    ("functions_that_run_as_their_owner_are_not_exposed", definers),
    ("every_foreign_key_has_an_index", indexes),
    ("policies_ask_who_the_caller_is_once_per_statement", policies),
    ("every_id_that_a_policy_reads_has_an_index", policy_indexes),
    ("every_column_with_a_unit_a_version_or_a_secret_has_a_comment", columns),
    ("nobody_truncates_a_table_or_passes_a_grant_on_and_anonymous_callers_have_none", table_grants),
];

/// The schemas that the migrations fill.
const OURS: &str = "('public', 'private', 'api')";

fn tables(cluster: &Cluster) {
    expect_none(
        cluster,
        "select c.relname::text from pg_class c join pg_roles r on r.oid = c.relowner
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
           and (not c.relrowsecurity or r.rolsuper or obj_description(c.oid, 'pg_class') is null)",
    );
}

fn signatures(cluster: &Cluster) {
    expect_none(
        cluster,
        "select oid::regprocedure::text from pg_proc where pronamespace = 'api'::regnamespace and not (
           pronargs = 1 and proargtypes[0] = 'jsonb'::regtype and proargnames = '{payload}'
           and prorettype = 'jsonb'::regtype and not proretset
         )",
    );
}

fn functions(cluster: &Cluster) {
    let sql = "select p.oid::regprocedure::text from pg_proc p join pg_roles r on r.oid = p.proowner
               where p.pronamespace::regnamespace::text in OURS
                 and (r.rolsuper or obj_description(p.oid, 'pg_proc') is null
                   or not coalesce(p.proconfig @> '{\"search_path=\\\"\\\"\"}', false))";
    expect_none(cluster, &sql.replace("OURS", OURS));
}

fn grants(cluster: &Cluster) {
    let sql = "select p.oid::regprocedure::text from pg_proc p
               where p.pronamespace::regnamespace::text in OURS and (
                 p.proacl is null
                 or exists (select from aclexplode(p.proacl) where grantee = 0)
                 or p.pronamespace = 'api'::regnamespace and not exists (
                   select from aclexplode(p.proacl)
                   where grantee::regrole::text in ('anon', 'authenticated', 'service_role')
                 )
               )";
    expect_none(cluster, &sql.replace("OURS", OURS));
    let callable = "select p.proname::text from pg_proc p
                    where p.pronamespace::regnamespace::text in OURS and has_function_privilege('anon', p.oid, 'execute')";
    let callable = names(cluster, &callable.replace("OURS", OURS));
    assert_eq!(callable, ["ready"], "what anyone may call");
}

/// None may be called by a client: one that is exposed calls them. Each says why it must run as its owner.
fn definers(cluster: &Cluster) {
    expect_none(
        cluster,
        "select p.oid::regprocedure::text from pg_proc p
         where prosecdef and pronamespace::regnamespace::text in ('public', 'private', 'api') and not (
           pronamespace = 'private'::regnamespace
           and coalesce(proconfig @> '{\"search_path=\\\"\\\"\"}', false)
           and not has_function_privilege('anon', p.oid, 'execute')
           and obj_description(p.oid, 'pg_proc') ~ 'Runs as its owner, (because|as) '
         )",
    );
}

fn indexes(cluster: &Cluster) {
    let sql = "select conrelid::regclass || '.' || conname from pg_constraint
               where contype = 'f' and connamespace = 'public'::regnamespace and not exists (
                 select from pg_index where indrelid = conrelid and indkey[0] = conkey[1]
               )";
    expect_none(cluster, sql);
}

/// Without `select` before it, the call happens once per row.
fn policies(cluster: &Cluster) {
    expect_none(
        cluster,
        r"select tablename || ': ' || policyname from pg_policies
          where schemaname = 'public'
            and regexp_replace(
              concat(qual, with_check), 'SELECT (auth\.uid|private\.member_orgs|private\.orgs_with_permission)\(', '', 'g'
            ) ~ '(uid|member_orgs|orgs_with_permission)\('",
    );
}

/// What a policy compares with the caller's ids is an id itself, and leads an index of its table.
fn policy_indexes(cluster: &Cluster) {
    expect_none(
        cluster,
        "select distinct c.relname || '.' || a.attname
         from pg_policy p
         join pg_class c on c.oid = p.polrelid and c.relnamespace = 'public'::regnamespace
         join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid
           and d.refclassid = 'pg_class'::regclass and d.refobjid = p.polrelid and d.refobjsubid > 0
         join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid and a.atttypid = 'uuid'::regtype
         where not exists (select from pg_index i where i.indrelid = c.oid and i.indkey[0] = a.attnum and i.indpred is null)",
    );
    // The check sees what it is about.
    let seen = names(
        cluster,
        "select distinct a.attname::text from pg_policy p
         join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid and d.refobjid = p.polrelid
         join pg_attribute a on a.attrelid = p.polrelid and a.attnum = d.refobjsubid
         where d.refobjsubid > 0 and a.atttypid = 'uuid'::regtype order by 1",
    );
    assert_eq!(seen, ["id", "org_id", "personal_user_id", "role_id", "user_id"]);
}

fn columns(cluster: &Cluster) {
    expect_none(
        cluster,
        "select c.relname || '.' || a.attname from pg_attribute a
         join pg_class c on c.oid = a.attrelid and c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
         where a.attnum > 0 and not a.attisdropped and col_description(c.oid, a.attnum) is null and (
           a.atttypid in ('bytea'::regtype, 'cidr[]'::regtype)
           or a.attname ~ '(_nano_usd|_minor|_epoch|version|secret|permissions|^seq|^tier|^currency)$'
         )",
    );
}

fn table_grants(cluster: &Cluster) {
    expect_none(
        cluster,
        "select c.relname || ' ' || g.grantee::regrole || ' ' || g.privilege_type
         from pg_class c cross join lateral aclexplode(c.relacl) g
         where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind in ('r', 'p')
           and g.grantee <> c.relowner and (
             g.grantee = 0 or g.grantee::regrole::text = 'anon'
             or g.privilege_type not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE') or g.is_grantable
           )",
    );
}

fn expect_none(cluster: &Cluster, sql: &str) {
    let found = names(cluster, sql);
    assert!(found.is_empty(), "{found:?}");
}

fn names(cluster: &Cluster, sql: &str) -> Vec<String> {
    cluster.superuser("postgres").query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}
