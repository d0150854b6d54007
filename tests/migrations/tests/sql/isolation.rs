//! Who may do what with the rows of one organization: a table of every table.

use std::collections::BTreeSet;

use postgres::Transaction;

use crate::Test;
use crate::cluster::{As, Cluster, become_, code};
use crate::matrix::{MATRIX, Row};

pub const TESTS: &[Test] = &[
    ("every_role_may_do_with_every_table_what_the_matrix_says_and_nothing_else", every_cell_holds),
    ("every_table_has_a_row_in_the_matrix", every_table_has_a_row),
    ("no_user_makes_a_row_of_somebody_else", nobody_writes_for_others),
    ("no_user_changes_a_column_that_is_not_theirs_to_change", nobody_changes_protected_columns),
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
                .replace(":developer", &cluster.developer.to_string())
                .replace(":viewer", &cluster.viewer.to_string())
                .replace(":newcomer", &cluster.newcomer.to_string())
        })
    }

    fn people(&self, cluster: &Cluster) -> [(As, &'static str); 7] {
        let people = [
            As::User(cluster.owner),
            As::User(cluster.admin),
            As::User(cluster.developer),
            As::User(cluster.viewer),
            As::User(cluster.stranger),
            As::Anonymous,
            As::Service,
        ];
        let outcomes: Vec<_> = self.outcomes.split(' ').collect();
        assert!(outcomes.len() == people.len() && outcomes.iter().all(|word| word.len() == 4), "{}", self.table);
        std::array::from_fn(|index| (people[index], outcomes[index]))
    }
}

fn every_cell_holds(cluster: &Cluster) {
    let mut wrong = Vec::new();
    for row in MATRIX {
        for (who, expected) in row.people(cluster) {
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
        "update public.users set id = gen_random_uuid()",
        "update public.users set authz_epoch = 0",
        "update public.organizations set personal_user_id = null",
        "update public.organization_members set user_id = user_id",
        "update public.organization_invitations set role = 'owner'",
        "select token_digest from public.organization_invitations",
        "update public.roles set org_id = org_id",
        "update public.user_sessions set expires_at = now()",
        "select digest from public.user_sessions",
        "select tokens from public.user_sessions",
        "update public.api_keys set replaced_by = null",
        "update public.api_keys set allowed_cidrs = '{}'",
        "update public.api_keys set last_used_at = now()",
        "update public.api_keys set allowed_models = '{}'",
        "update public.api_keys set max_output_tokens = null",
        "select secret from public.webhooks",
        "select previous_secret from public.webhooks",
        "select secret_name from public.integrations",
        "update public.integrations set secret_name = 'mine'",
        "update public.workflow_definitions set definition = '{}'",
        "select * from private.audit_heads",
        "select private.raise_authz_epoch(array[]::uuid[])",
        "select private.append_audit(gen_random_uuid(), '{}')",
        "truncate public.audit_logs",
        "update public.api_keys set scopes = '{llm,webhooks}'",
        "update public.api_keys set expires_at = null",
        "update public.api_keys set org_id = org_id",
        "update public.api_keys set revoked_at = null",
        "select digest from public.api_keys",
        "select * from public.api_keys",
        "truncate public.llm_usage",
        "update public.usage_limits set version = 1",
        "update public.usage_limits set subject = subject",
        "update public.usage_limits set updated_by = null",
        "select * from auth.users",
    ];
    for statement in statements {
        let found = cluster.transaction(|transaction| outcome(transaction, As::User(cluster.owner), statement));
        assert_eq!(found, 'x', "{statement}");
    }
}
