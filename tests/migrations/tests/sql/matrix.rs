//! Every table, statements about one row in it, and who may run them.

/// A table, statements about one row of the owner's organization in it, and what becomes of them.
pub struct Row {
    pub table: &'static str,
    /// Finds the row; `:owner`, `:org` and the other people are replaced.
    pub find: &'static str,
    pub insert: &'static str,
    pub update: &'static str,
    /// For each of owner, admin, developer, viewer, stranger, anonymous and service a word of four letters, for select,
    /// insert, update and delete: `y` it works, `0` it finds no row, `x` it is refused, `-` it fails otherwise.
    pub outcomes: &'static str,
}

pub const MATRIX: &[Row] = &[
    Row {
        table: "users",
        find: "id = ':owner'",
        insert: "(id) values (':newcomer')",
        update: "display_name = 'new'",
        outcomes: "yxyx 0x0x 0x0x 0x0x 0x0x xxxx yyyy",
    },
    Row {
        table: "organizations",
        find: "id = ':org'",
        insert: "(name) values ('mine')",
        update: "name = 'new'",
        outcomes: "yxyy yxy0 yx00 yx00 0x00 xxxx yyyy",
    },
    Row {
        table: "organization_members",
        find: "org_id = ':org' and user_id = ':developer'",
        insert: "(org_id, user_id, role) values (':org', ':newcomer', 'viewer')",
        update: "role = 'viewer'",
        // Whoever belongs to an organization may leave it.
        outcomes: "yxyy yxyy yx0y yx00 0x00 xxxx yyyy",
    },
    Row {
        table: "organization_invitations",
        find: "org_id = ':org' and email = 'invited@example.com'",
        insert: "(org_id, email, role, token_digest) values (':org', 'new@example.com', 'viewer', sha256('new'))",
        update: "revoked_at = now()",
        outcomes: "yyyx yyyx 0x0x 0x0x 0x0x xxxx yyyy",
    },
    Row {
        table: "roles",
        find: "org_id = ':org' and name = 'reader'",
        insert: "(org_id, name, permissions) values (':org', 'new', '{organization:read}')",
        update: "name = 'new'",
        outcomes: "yyyy yyyy yx00 yx00 0x00 xxxx yyyy",
    },
    Row {
        table: "user_roles",
        find: "org_id = ':org' and user_id = ':viewer'",
        insert: "(org_id, user_id, role_id) \
                 select ':org', ':developer', id from public.roles where org_id is null and name = 'viewer'",
        update: "granted_by = null",
        outcomes: "yyxy yyxy yxx0 yxx0 0xx0 xxxx yyyy",
    },
    Row {
        table: "teams",
        find: "org_id = ':org' and name = 'core'",
        insert: "(org_id, name) values (':org', 'new')",
        update: "name = 'new'",
        outcomes: "yyyy yyyy yx00 yx00 0x00 xxxx yyyy",
    },
    Row {
        table: "team_members",
        find: "org_id = ':org' and user_id = ':developer'",
        insert: "(team_id, org_id, user_id) \
                 select coalesce((select id from public.teams where name = 'core'), gen_random_uuid()), ':org', ':viewer'",
        update: "created_at = now()",
        outcomes: "yyxy yyxy yxx0 yxx0 0xx0 xxxx yyyy",
    },
    Row {
        table: "user_sessions",
        find: "user_id = ':owner'",
        insert: "(user_id, family, digest, tokens, expires_at) \
                 values (':owner', gen_random_uuid(), sha256('new'), 'new', now() + interval '1 day')",
        update: "revoked_at = now()",
        outcomes: "yxyx 0x0x 0x0x 0x0x 0x0x xxxx yyyy",
    },
    Row {
        table: "audit_logs",
        find: "org_id = ':org'",
        insert: "(entry, prev_hash, hash, occurred_at) values ('{}', sha256(''), sha256(''), now())",
        update: "occurred_at = now()",
        outcomes: "yxxx yxxx 0xxx 0xxx 0xxx xxxx yxxx",
    },
    Row {
        table: "api_keys",
        find: "org_id = ':org' and name = 'laptop'",
        insert: "(org_id, name, digest, pepper_version, prefix, scopes) \
                 values (':org', 'new', sha256('new'), 1, 'qlp_test_cd', '{llm}')",
        update: "revoked_at = now()",
        // Only a key of a user can be made, and the service is none: the insert fails for want of a user_id.
        outcomes: "yyyx yyyx 0y0x 0x0x 0x0x xxxx y-yy",
    },
    Row {
        table: "models",
        find: "alias = 'default'",
        insert: "(alias) values ('mine')",
        update: "owned_by = 'me'",
        outcomes: "yxxx yxxx yxxx yxxx yxxx xxxx yyyy",
    },
    Row {
        table: "model_routes",
        find: "alias = 'default' and position = 1",
        insert: "(alias, position, provider, model) values ('default', 99, 'mine', 'mine')",
        update: "input_nano_usd = 0",
        outcomes: "xxxx xxxx xxxx xxxx xxxx xxxx yyyy",
    },
    Row {
        table: "llm_tier_rules",
        find: "tier = 'T1'",
        insert: "(tier) values ('T2')",
        update: "max_output_tokens = null",
        outcomes: "xxxx xxxx xxxx xxxx xxxx xxxx yyyy",
    },
    Row {
        table: "llm_cache_generations",
        find: "tenant = ':org'",
        insert: "(tenant, generation) values (':newcomer', 1)",
        update: "generation = 9",
        outcomes: "xxxx xxxx xxxx xxxx xxxx xxxx yyyy",
    },
    Row {
        table: "llm_prompt_logs",
        find: "org_id = ':org'",
        insert: "(id, org_id, alias, status, prompt, answer, is_truncated) \
                 values (gen_random_uuid(), ':org', 'a', 'success', '[]', '', false)",
        update: "answer = ''",
        outcomes: "yxxx yxxx 0xxx 0xxx 0xxx xxxx yyyy",
    },
    Row {
        table: "model_prices",
        find: "provider = 'mine'",
        insert: "(provider, model, version, rates) \
                 values ('mine', 'new', '1', '[{\"tier\": \"standard\", \"above\": 0, \"input\": 1, \"output\": 1}]')",
        update: "version = '2'",
        outcomes: "xxxx xxxx xxxx xxxx xxxx xxxx yyyy",
    },
    Row {
        table: "llm_usage",
        find: "user_id = ':owner'",
        insert: "(id, request_id, user_id, org_id, alias, stream, status, input_tokens, output_tokens, \
                  cached_input_tokens, usage_source, latency_ms, attempts, started_at) \
                 values (gen_random_uuid(), 'r', ':owner', ':org', 'a', false, 'success', 0, 0, 0, 'none', 0, 0, now())",
        update: "cost_nano_usd = 0",
        outcomes: "yxxx yxxx 0xxx 0xxx 0xxx xxxx yyyy",
    },
    Row {
        table: "integrations",
        find: "org_id = ':org' and name = 'code'",
        insert: "(org_id, kind, name) values (':org', 'slack', 'chat')",
        update: "enabled = false",
        outcomes: "yyyy yyyy yx00 0x00 0x00 xxxx yyyy",
    },
    Row {
        table: "webhooks",
        find: "org_id = ':org' and url = 'https://example.com/hook'",
        insert: "(org_id, url, events) values (':org', 'https://example.com/new', '{key.created}')",
        update: "enabled = false",
        outcomes: "yyyy yyyy yx00 0x00 0x00 xxxx yyyy",
    },
    Row {
        table: "notification_preferences",
        find: "user_id = ':owner'",
        insert: "(event, channel, enabled) values ('key.created', 'email', true)",
        update: "enabled = false",
        // Everybody makes their own; the service is nobody.
        outcomes: "yyyy 0y00 0y00 0y00 0y00 xxxx y-yy",
    },
    Row {
        table: "billing_invoices",
        find: "org_id = ':org' and number = 'I-1'",
        insert: "(org_id, number, currency, total_minor, period_start, period_end) \
                 values (':org', 'I-3', 'USD', 0, '2026-11-01', '2026-11-30')",
        update: "status = 'paid'",
        outcomes: "yxxx yxxx 0xxx 0xxx 0xxx xxxx yyyy",
    },
    Row {
        table: "policy_enforcement",
        find: "org_id = ':org'",
        insert: "(org_id, policy, decision, action) values (':org', 'no-secrets', 'allow', 'capsule.create')",
        update: "decision = 'allow'",
        outcomes: "yxxx yxxx 0xxx 0xxx 0xxx xxxx yyxx",
    },
    Row {
        table: "agent_audit_log",
        find: "user_id = ':owner'",
        insert: "(org_id, agent, run_id, step, action, status, started_at) \
                 values (':org', 'reviewer', gen_random_uuid(), 1, 'read', 'success', now())",
        update: "status = 'failure'",
        outcomes: "yxxx yxxx 0xxx 0xxx 0xxx xxxx yyxx",
    },
    Row {
        table: "workflow_definitions",
        find: "org_id = ':org' and name = 'build'",
        insert: "(org_id, name, definition) values (':org', 'test', '{}')",
        update: "enabled = false",
        outcomes: "yyyy yyyy yyyy yx00 0x00 xxxx yyyy",
    },
    Row {
        table: "workflow_executions",
        find: "org_id = ':org'",
        insert: "(org_id, workflow_id) select org_id, id from public.workflow_definitions where name = 'build'",
        update: "status = 'failed'",
        outcomes: "yxxx yxxx yxxx yxxx 0xxx xxxx yyyy",
    },
    Row {
        table: "usage_limits",
        find: "org_id = ':org' and subject = 'org'",
        insert: "(org_id, subject, rules) \
                 values (':org', 'user::developer', '[{\"unit\": \"requests\", \"window\": \"day\", \"limit\": 0}]')",
        update: "rules = '[{\"unit\": \"tokens\", \"window\": \"month\", \"limit\": 1}]'",
        outcomes: "yyyy yyyy 0x00 0x00 0x00 xxxx yyyy",
    },
];
