//! Who may do what with the rows of one organization: a table of every table.

use std::collections::BTreeSet;

use postgres::Transaction;

use crate::Test;
use crate::cluster::{As, Cluster, become_, code};

pub const TESTS: &[Test] = &[
    ("every_role_may_do_with_every_table_what_the_matrix_says_and_nothing_else", every_cell_holds),
    ("every_table_has_a_row_in_the_matrix", every_table_has_a_row),
    ("no_user_makes_a_row_of_somebody_else", nobody_writes_for_others),
    ("no_user_changes_a_column_that_is_not_theirs_to_change", nobody_changes_protected_columns),
];

/// A table, statements about one row of the owner's in it, and what becomes of them.
///
/// One letter each for select, insert, update and delete: `y` it works, `0` it finds no row, `x` it is refused.
struct Row {
    table: &'static str,
    /// Finds the owner's row; `:owner`, `:org` and `:newcomer` are replaced.
    find: &'static str,
    insert: &'static str,
    update: &'static str,
    owner: &'static str,
    viewer: &'static str,
    stranger: &'static str,
    anonymous: &'static str,
    service: &'static str,
}

const MATRIX: &[Row] = &[
    Row {
        table: "profiles",
        find: "id = ':owner'",
        insert: "(id) values (':newcomer')",
        update: "display_name = 'new'",
        owner: "yxyx",
        viewer: "0x0x",
        stranger: "0x0x",
        anonymous: "xxxx",
        service: "yyyy",
    },
    Row {
        table: "organizations",
        find: "id = ':org'",
        insert: "(name) values ('mine')",
        update: "name = 'new'",
        owner: "yxyx",
        viewer: "yx0x",
        stranger: "0x0x",
        anonymous: "xxxx",
        service: "yyyy",
    },
    Row {
        table: "organization_members",
        find: "org_id = ':org' and user_id = ':owner'",
        insert: "(org_id, user_id, role) values (':org', ':newcomer', 'viewer')",
        update: "role = 'admin'",
        owner: "yxxx",
        viewer: "yxxx",
        stranger: "0xxx",
        anonymous: "xxxx",
        service: "yyyy",
    },
    Row {
        table: "models",
        find: "alias = 'default'",
        insert: "(alias) values ('mine')",
        update: "owned_by = 'me'",
        owner: "yxxx",
        viewer: "yxxx",
        stranger: "yxxx",
        anonymous: "xxxx",
        service: "yyyy",
    },
    Row {
        table: "model_routes",
        find: "alias = 'default' and position = 1",
        insert: "(alias, position, provider, model) values ('default', 99, 'mine', 'mine')",
        update: "input_nano_usd = 0",
        owner: "xxxx",
        viewer: "xxxx",
        stranger: "xxxx",
        anonymous: "xxxx",
        service: "yyyy",
    },
    Row {
        table: "api_keys",
        find: "org_id = ':org' and name = 'laptop'",
        insert: "(org_id, name, digest, pepper_version, prefix, scopes) \
                 values (':org', 'new', sha256('new'), 1, 'qlp_test_cd', '{llm}')",
        update: "revoked_at = now()",
        owner: "yyyx",
        viewer: "0x0x",
        stranger: "0x0x",
        anonymous: "xxxx",
        // Only a key of a user can be made, and the service is none: the insert fails for want of a user_id.
        service: "y-yy",
    },
    Row {
        table: "llm_usage",
        find: "user_id = ':owner'",
        insert: "(id, request_id, user_id, org_id, alias, stream, status, input_tokens, output_tokens, \
                  cached_input_tokens, usage_source, latency_ms, attempts, started_at) \
                 values (gen_random_uuid(), 'r', ':owner', ':org', 'a', false, 'success', 0, 0, 0, 'none', 0, 0, now())",
        update: "cost_nano_usd = 0",
        owner: "yxxx",
        viewer: "0xxx",
        stranger: "0xxx",
        anonymous: "xxxx",
        service: "yyyy",
    },
];

impl Row {
    fn statements(&self, cluster: &Cluster) -> [String; 4] {
        let Self { table, find, insert, update, .. } = self;
        [
            format!("select 1 from public.{table} where {find}"),
            format!("insert into public.{table} {insert}"),
            format!("update public.{table} set {update} where {find}"),
            format!("delete from public.{table} where {find}"),
        ]
        .map(|statement| {
            statement
                .replace(":owner", &cluster.owner.to_string())
                .replace(":org", &cluster.org.to_string())
                .replace(":newcomer", &cluster.newcomer.to_string())
        })
    }

    fn people(&self, cluster: &Cluster) -> [(As, &'static str); 5] {
        [
            (As::User(cluster.owner), self.owner),
            (As::User(cluster.viewer), self.viewer),
            (As::User(cluster.stranger), self.stranger),
            (As::Anonymous, self.anonymous),
            (As::Service, self.service),
        ]
    }
}

fn every_cell_holds(cluster: &Cluster) {
    let mut wrong = Vec::new();
    for row in MATRIX {
        for (who, expected) in row.people(cluster) {
            assert_eq!(expected.len(), 4);
            for (statement, expected) in row.statements(cluster).iter().zip(expected.chars()) {
                let found = cluster.transaction(|transaction| outcome(transaction, who, statement));
                if found != expected {
                    wrong.push(format!("{who:?}: {found} instead of {expected}: {statement}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `y` it works, `0` it finds no row, `x` it is refused, `-` it fails for another reason.
fn outcome(transaction: &mut Transaction<'_>, who: As, statement: &str) -> char {
    become_(transaction, who);
    match transaction.execute(statement, &[]) {
        Ok(0) => '0',
        Ok(_) => 'y',
        Err(error) if code(&error) == "42501" => 'x',
        Err(_) => '-',
    }
}

fn every_table_has_a_row(cluster: &Cluster) {
    let tables = "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f')";
    let tables = cluster.superuser("postgres").query(tables, &[]).unwrap();
    let tables: BTreeSet<String> = tables.iter().map(|row| row.get(0)).collect();
    let matrix: BTreeSet<String> = MATRIX.iter().map(|row| row.table.to_owned()).collect();
    assert_eq!(tables, matrix);
}

fn nobody_writes_for_others(cluster: &Cluster) {
    let Cluster { owner, viewer, stranger, org, other_org, .. } = cluster;
    let key = |org, columns, values| {
        format!(
            "insert into public.api_keys (org_id, name, digest, pepper_version, prefix, scopes{columns}) \
             values ('{org}', 'n', sha256('n'), 1, 'p', '{{llm}}'{values})"
        )
    };
    let for_another = format!(", '{viewer}'");
    let attempts = [
        (owner, key(other_org, "", "")),
        (owner, key(org, ", user_id", &for_another)),
        (viewer, key(org, "", "")),
        (stranger, key(org, "", "")),
    ];
    for (who, statement) in attempts {
        let found = cluster.transaction(|transaction| outcome(transaction, As::User(*who), &statement));
        assert_eq!(found, 'x', "{statement}");
    }
}

fn nobody_changes_protected_columns(cluster: &Cluster) {
    let statements = [
        "update public.organizations set tier = 'T3'",
        "update public.organizations set id = gen_random_uuid()",
        "update public.profiles set id = gen_random_uuid()",
        "update public.api_keys set scopes = '{llm,webhooks}'",
        "update public.api_keys set expires_at = null",
        "update public.api_keys set org_id = org_id",
        "update public.api_keys set revoked_at = null",
        "select digest from public.api_keys",
        "select * from public.api_keys",
        "truncate public.llm_usage",
        "select * from auth.users",
    ];
    for statement in statements {
        let found = cluster.transaction(|transaction| outcome(transaction, As::User(cluster.owner), statement));
        assert_eq!(found, 'x', "{statement}");
    }
}
