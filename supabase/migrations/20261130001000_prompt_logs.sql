-- What was asked of language models and what they answered, for organizations that want it: off unless an owner says for
-- how many days it is kept. The edge takes out what looks like a secret or an address before it writes.

alter table public.organizations
  add column prompt_log_days smallint check (prompt_log_days between 1 and 365);
comment on column public.organizations.prompt_log_days is
  'For how many days prompts and answers are kept, redacted; null: they are not logged.';
grant update (prompt_log_days) on table public.organizations to authenticated;

create table public.llm_prompt_logs (
  id uuid primary key,
  org_id uuid not null references public.organizations (id) on delete cascade,
  user_id uuid,
  api_key_id uuid,
  alias text not null check (char_length(alias) <= 200),
  provider text check (char_length(provider) <= 100),
  model text check (char_length(model) <= 200),
  status text not null check (status ~ '^[a-z][a-z_]{1,39}$'),
  prompt jsonb not null check (jsonb_typeof(prompt) = 'array' and octet_length(prompt::text) <= 1048576),
  answer text not null check (octet_length(answer) <= 131072),
  is_truncated boolean not null,
  created_at timestamptz not null default now()
);
comment on table public.llm_prompt_logs is
  'Prompts and answers of organizations that log them, redacted, for as many days as they say.';
comment on column public.llm_prompt_logs.id is 'That of the call in llm_usage.';
comment on column public.llm_prompt_logs.api_key_id is 'That of public.api_keys; no key itself.';
comment on column public.llm_prompt_logs.prompt is 'Messages in their order: [{role, text}].';
comment on column public.llm_prompt_logs.is_truncated is 'Whether the prompt or the answer was longer than is kept.';
create index llm_prompt_logs_org on public.llm_prompt_logs (org_id, created_at);

alter table public.llm_prompt_logs enable row level security;
revoke all on table public.llm_prompt_logs from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.llm_prompt_logs to service_role;
grant select on table public.llm_prompt_logs to authenticated;
create policy "prompts are read by those who read the audit log" on public.llm_prompt_logs
  for select to authenticated using (org_id = any ((select private.orgs_with_permission('audit:read'))::uuid[]));

-- The setting

create function private.guard_prompt_log()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- The service is no user.
  if auth.uid() is not null then
    perform private.require_permission(new.id, 'organization:delete');
  end if;
  return new;
end
$$;
comment on function private.guard_prompt_log() is
  'Lets owners alone say whether prompts are logged. Runs as its owner, because the service, which it lets pass, may '
  'not ask what it asks.';
revoke all on function private.guard_prompt_log() from public;
create trigger guard_prompt_log before update on public.organizations
  for each row when (old.prompt_log_days is distinct from new.prompt_log_days)
  execute function private.guard_prompt_log();

drop trigger audit_change on public.organizations;
create trigger audit_change after insert or update or delete on public.organizations
  for each row execute function private.audit_change(
    'organization', 'name', 'tier', 'requires_aal2', 'prompt_log_days'
  );

create or replace function private.show_organization(org uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', organization.id,
    'name', organization.name,
    'tier', organization.tier,
    'personal', organization.personal_user_id is not null,
    'requires_aal2', organization.requires_aal2,
    'prompt_log_days', organization.prompt_log_days,
    'role', member.role,
    'permissions', to_jsonb(private.permissions_in(organization.id)),
    'created_at', organization.created_at
  )
  from public.organizations organization
  join public.organization_members member on member.org_id = organization.id and member.user_id = (select auth.uid())
  where organization.id = org
$$;

create or replace function api.update_organization(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
  factor jsonb := nullif(payload -> 'requires_aal2', 'null');
  sets_days boolean := payload ? 'prompt_log_days';
  days bigint := case
    when payload ->> 'prompt_log_days' is not null then private.read_whole(payload, 'prompt_log_days', null, 1, 365)
  end;
  wanted text;
begin
  perform private.require_permission(org, 'organization:write');
  if payload ->> 'name' is not null or factor is null and not sets_days then
    wanted := private.read_text(payload, 'name', 100);
  end if;
  if jsonb_typeof(factor) <> 'boolean' then
    raise sqlstate 'PT422' using message = 'requires_aal2 must be true or false', detail = 'requires_aal2';
  end if;
  update public.organizations
  set
    name = coalesce(wanted, name),
    requires_aal2 = coalesce(factor::boolean, requires_aal2),
    prompt_log_days = case when sets_days then days else prompt_log_days end
  where id = org;
  return private.show_organization(org);
end
$$;
comment on function api.update_organization(jsonb) is
  '{org_id?, name?, requires_aal2?, prompt_log_days? (1 to 365, or null)}, one of them at least -> the organization, '
  'changed. PT403 organization:write; for requires_aal2 and prompt_log_days also organization:delete (owners), and for '
  'requires_aal2 a second factor; PT404, PT422.';
comment on function api.create_organization(jsonb) is
  '{name} -> {id, name, tier, personal, requires_aal2, prompt_log_days, role, permissions, created_at}: makes an '
  'organization that the caller owns. PT403: the caller is anonymous; PT409: a hundred are enough; PT422.';
comment on function api.list_organizations(jsonb) is
  '{} -> {organizations: [{id, name, tier, personal, requires_aal2, prompt_log_days, role, permissions, created_at}]}: '
  'those that the caller belongs to, in the order of joining, at most 1000; without the second factor that one requires '
  'there are no permissions.';
comment on function api.get_organization(jsonb) is
  '{org_id?} -> {id, name, tier, personal, requires_aal2, prompt_log_days, role, permissions, created_at}. PT403: it '
  'requires a second factor; PT404: the caller does not belong to it.';

-- What access tokens say

create or replace function public.custom_access_token_hook(event jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  claims jsonb := event -> 'claims';
  caller uuid := (event ->> 'user_id')::uuid;
  epoch bigint;
  current_org uuid;
  membership record;
begin
  select authz_epoch, current_org_id into epoch, current_org from public.users where id = caller;
  select
    member.org_id, organization.tier, organization.requires_aal2,
    organization.prompt_log_days is not null as logs_prompts,
    jsonb_build_array(member.role) || (
      select coalesce(jsonb_agg(role.name order by role.name), '[]')
      from public.user_roles extra join public.roles role on role.id = extra.role_id
      where extra.org_id = member.org_id and extra.user_id = member.user_id and role.name <> member.role
    ) as roles
  into membership
  from public.organization_members member
  join public.organizations organization on organization.id = member.org_id
  where member.user_id = caller
  order by coalesce(member.org_id = current_org, false) desc, member.created_at, member.org_id
  limit 1;

  claims := jsonb_set(
    claims, '{app_metadata}',
    (coalesce(claims -> 'app_metadata', '{}') - 'logs_prompts') || jsonb_build_object(
      'org_id', membership.org_id,
      'roles', coalesce(membership.roles, '[]'),
      'tier', coalesce(membership.tier, 'T1'),
      'requires_aal2', coalesce(membership.requires_aal2, false),
      'authz_epoch', coalesce(epoch, 0)
    ) || case when membership.logs_prompts then '{"logs_prompts": true}'::jsonb else '{}' end
  );
  return jsonb_set(event, '{claims}', claims);
end
$$;
comment on function public.custom_access_token_hook(jsonb) is
  'Puts the user''s current organization, the roles there, its tier, whether it requires a second factor, whether it '
  'logs prompts (left out if not) and the user''s epoch into app_metadata of every access token, so that a request with '
  'a token costs no look-up. All other claims stay as they are.';

-- Writing and ending

create function api.record_prompt_log(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  stored integer;
begin
  -- What the token said may be an hour old: the setting of now decides.
  insert into public.llm_prompt_logs (
    id, org_id, user_id, api_key_id, alias, provider, model, status, prompt, answer, is_truncated
  )
  select
    logged.id, logged.org_id, logged.user_id, logged.api_key_id, logged.alias, logged.provider, logged.model,
    logged.status, logged.prompt, logged.answer, coalesce(logged.is_truncated, false)
  from jsonb_to_record(payload) as logged (
    id uuid, org_id uuid, user_id uuid, api_key_id uuid, alias text, provider text, model text, status text,
    prompt jsonb, answer text, is_truncated boolean
  )
  join public.organizations organization
    on organization.id = logged.org_id and organization.prompt_log_days is not null
  on conflict (id) do nothing;
  get diagnostics stored = row_count;
  return jsonb_build_object('recorded', stored);
exception when data_exception or integrity_constraint_violation then
  raise sqlstate 'PT422' using message = 'the log of a prompt is of another form';
end
$$;
comment on function api.record_prompt_log(jsonb) is
  '{id, org_id, user_id, api_key_id?, alias, provider, model, status, prompt: [{role, text}], answer, is_truncated} -> '
  '{recorded: 0 or 1}: keeps what was asked and answered, if the organization wants it kept; one that is there already '
  'is left alone. PT422.';

create function api.expire_prompt_logs(payload jsonb default '{}')
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  most bigint := private.read_whole(payload, 'limit', 1000, 1, 10000);
  ended integer;
begin
  delete from public.llm_prompt_logs where id in (
    select logged.id
    from public.organizations organization
    join public.llm_prompt_logs logged on logged.org_id = organization.id and (
      organization.prompt_log_days is null
      or logged.created_at < now() - make_interval(days => organization.prompt_log_days)
    )
    limit most
    for update of logged skip locked
  );
  get diagnostics ended = row_count;
  return jsonb_build_object('deleted', ended, 'more', ended = most);
end
$$;
comment on function api.expire_prompt_logs(jsonb) is
  '{limit? (1000; 1 to 10000)} -> {deleted, more: whether to call again}: deletes what has been kept for as long as its '
  'organization says, and all of one that does not log any more. Calls beside each other do not wait. PT422.';
revoke all on function api.record_prompt_log(jsonb), api.expire_prompt_logs(jsonb) from public;
grant execute on function api.record_prompt_log(jsonb), api.expire_prompt_logs(jsonb) to service_role;
