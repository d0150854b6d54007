-- One row in every table, for the matrix of isolation. `:org` and the people are replaced.

-- Shared, so that it can be deleted.
update public.organizations set personal_user_id = null where id = ':org';
delete from public.users where id = ':newcomer';

insert into public.api_keys (org_id, user_id, name, digest, pepper_version, prefix, scopes)
values (':org', ':owner', 'laptop', sha256('laptop'), 1, 'qlp_test_ab', '{llm}');

insert into public.llm_tier_rules (tier, max_output_tokens) values ('T1', 4096);

insert into public.llm_cache_generations (tenant, generation) values (':org', 1);

insert into public.llm_prompt_logs (id, org_id, alias, status, prompt, answer, is_truncated)
values (gen_random_uuid(), ':org', 'default', 'success', '[]', 'hi', false);

insert into public.llm_usage (
  id, request_id, user_id, org_id, alias, stream, status, input_tokens, output_tokens, cached_input_tokens,
  usage_source, latency_ms, attempts, started_at
)
values (gen_random_uuid(), 'r', ':owner', ':org', 'default', false, 'success', 1, 1, 0, 'none', 1, 1, '2020-01-01');

insert into public.model_prices (provider, model, version, rates)
values ('mine', 'old', '1', '[{"tier": "standard", "above": 0, "input": 1, "output": 1}]');

insert into public.roles (org_id, name, permissions) values (':org', 'reader', '{organization:read}');
insert into public.user_roles (org_id, user_id, role_id)
select ':org', ':viewer', id from public.roles where org_id = ':org' and name = 'reader';

insert into public.organization_invitations (org_id, email, role, token_digest)
values (':org', 'invited@example.com', 'developer', sha256('invited'));

insert into public.teams (org_id, name) values (':org', 'core');
insert into public.team_members (team_id, org_id, user_id)
select id, org_id, ':developer' from public.teams where org_id = ':org' and name = 'core';

insert into public.user_sessions (user_id, family, digest, tokens, expires_at)
values (':owner', gen_random_uuid(), sha256('session'), 'encrypted', now() + interval '1 day');

insert into public.integrations (org_id, kind, name, created_by) values (':org', 'github', 'code', ':owner');

insert into public.webhooks (org_id, url, events, secret, created_by)
values (':org', 'https://example.com/hook', '{key.created}', 'encrypted', ':owner');

insert into public.notification_preferences (user_id, event, channel, enabled)
values (':owner', 'key.revoked', 'email', true);

insert into public.billing_invoices (org_id, number, status, currency, total_minor, period_start, period_end)
values
  (':org', 'I-1', 'open', 'USD', 100, '2026-11-01', '2026-11-30'),
  (':org', 'I-2', 'draft', 'USD', 100, '2026-12-01', '2026-12-31');

insert into public.policy_enforcement (org_id, user_id, policy, decision, action)
values (':org', ':owner', 'no-secrets', 'deny', 'capsule.create');

insert into public.agent_audit_log (org_id, user_id, agent, run_id, step, action, status, started_at)
values (':org', ':owner', 'reviewer', gen_random_uuid(), 1, 'read', 'success', now());

insert into public.workflow_definitions (org_id, name, definition, created_by) values (':org', 'build', '{}', ':owner');
insert into public.workflow_executions (org_id, workflow_id, started_by)
select org_id, id, ':owner' from public.workflow_definitions where org_id = ':org' and name = 'build';

insert into public.usage_limits (org_id, subject, rules)
values (':org', 'org', '[{"unit": "requests", "window": {"seconds": 60}, "limit": 10}]');
