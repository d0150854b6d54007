-- What an organization lets itself, its members and its API keys use, where that differs from the defaults. The edge puts
-- it into force in its ledger; what is here is what holds.

-- Owners and admins, as the built-in roles stand in each other.
update public.roles
set permissions = array(select unnest(permissions || '{limits:read,limits:write}'::text[]) order by 1)
where org_id is null and name in ('owner', 'admin');

create function private.are_limits(rules jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select jsonb_typeof(rules) = 'array' and (
    select count(*) between 1 and 16
      and count(distinct (kind, unit)) = count(*)
      and bool_and(coalesce(
        rule = jsonb_build_object('unit', unit, 'window', "window", 'limit', most)
        and unit in ('requests', 'tokens', 'nano_usd')
        and most::text ~ '^\d{1,15}$'
        and case kind
          when 'seconds' then most::text <> '0'
            and "window" = jsonb_build_object('seconds', "window" -> 'seconds')
            and case when "window" ->> 'seconds' ~ '^\d{1,7}$'
              then ("window" ->> 'seconds')::integer between 1 and 2678400
            end
          when 'concurrent' then unit = 'requests'
          else kind in ('day', 'month')
        end,
        false
      ))
    from jsonb_array_elements(case jsonb_typeof(rules) when 'array' then rules else '[]' end) rule
    cross join lateral (
      select
        rule ->> 'unit' as unit,
        rule -> 'window' as "window",
        rule -> 'limit' as most,
        case jsonb_typeof(rule -> 'window') when 'object' then 'seconds' else rule ->> 'window' end as kind
    ) told
  )
$$;
comment on function private.are_limits(jsonb) is
  'Whether this is [{unit: requests|tokens|nano_usd, window: {seconds: 1 to 2678400}|day|month|concurrent, limit: 0 to '
  '999999999999999}], 1 to 16, no two of one kind: at least 1 in seconds, only requests at the same time.';
revoke all on function private.are_limits(jsonb) from public;
grant execute on function private.are_limits(jsonb) to authenticated, service_role;

create table public.usage_limits (
  org_id uuid not null references public.organizations (id) on delete cascade,
  subject text not null check (
    subject ~ '^(org|(user|key):[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12})$'
  ),
  rules jsonb not null check (private.are_limits(rules)),
  version bigint not null default 1,
  updated_by uuid references auth.users (id) on delete set null,
  updated_at timestamptz not null default now(),
  primary key (org_id, subject)
);
comment on table public.usage_limits is
  'Limits on what an organization, a member or an API key may use, in place of the defaults: rates, budgets, requests '
  'at the same time.';
comment on column public.usage_limits.subject is
  'org, user:<id> or key:<id>. Who leaves and comes back finds the same limits.';
comment on column public.usage_limits.rules is '[{unit, window, limit}], as private.are_limits says.';
comment on column public.usage_limits.version is 'How often it was set since it was last at the defaults.';
comment on column public.usage_limits.updated_by is 'Null if it was the service, or somebody who has no account any more.';
create index usage_limits_updated_by on public.usage_limits (updated_by);

create function private.note_limits()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.version := case tg_op when 'UPDATE' then old.version + 1 else 1 end;
  new.updated_by := auth.uid();
  new.updated_at := now();
  return new;
end
$$;
comment on function private.note_limits() is 'Notes who set limits, and when.';
revoke all on function private.note_limits() from public;
create trigger note_limits before insert or update of rules on public.usage_limits
  for each row execute function private.note_limits();

create function private.is_limited_in(org uuid, subject text)
returns boolean
language sql
stable
security definer
set search_path = ''
as $$
  select org = any (private.member_orgs()) and case split_part(subject, ':', 1)
    when 'org' then subject = 'org'
    when 'user' then exists (
      select from public.organization_members where org_id = org and 'user:' || user_id = subject
    )
    else exists (select from public.api_keys where org_id = org and 'key:' || id = subject)
  end
$$;
comment on function private.is_limited_in(uuid, text) is
  'Whether the subject of limits is an organization of the caller''s, a member or a key of it. Runs as its owner, because '
  'not everybody who may set limits sees every key.';
revoke all on function private.is_limited_in(uuid, text) from public;
grant execute on function private.is_limited_in(uuid, text) to authenticated;

create function private.require_subject(org uuid, subject text)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not private.is_limited_in(org, subject) then
    raise sqlstate 'PT404' using message = 'no such member or key of the organization', detail = 'subject';
  end if;
end
$$;
comment on function private.require_subject(uuid, text) is 'PT404: private.is_limited_in does not hold.';
revoke all on function private.require_subject(uuid, text) from public;
grant execute on function private.require_subject(uuid, text) to authenticated;

alter table public.usage_limits enable row level security;
revoke all on table public.usage_limits from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.usage_limits to service_role;

grant select, insert (org_id, subject, rules), update (rules), delete on table public.usage_limits to authenticated;
create policy "limits are seen by those who may" on public.usage_limits
  for select to authenticated using (org_id = any ((select private.orgs_with_permission('limits:read'))::uuid[]));
create policy "limits are set by those who may, for whoever belongs there" on public.usage_limits
  for insert to authenticated with check (
    org_id = any ((select private.orgs_with_permission('limits:write'))::uuid[])
    and private.is_limited_in(org_id, subject)
  );
-- Of a member who has left and a key that is gone they can still be changed and taken back.
create policy "limits are changed by those who may" on public.usage_limits
  for update to authenticated
  using (org_id = any ((select private.orgs_with_permission('limits:write'))::uuid[]))
  with check (org_id = any ((select private.orgs_with_permission('limits:write'))::uuid[]));
create policy "limits are taken back by those who may" on public.usage_limits
  for delete to authenticated using (org_id = any ((select private.orgs_with_permission('limits:write'))::uuid[]));

-- The log tells whose limits they are.
create or replace function private.audit_change()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  before jsonb := to_jsonb(old);
  after jsonb := to_jsonb(new);
  present jsonb := coalesce(after, before);
  org uuid := (present ->> case tg_table_name when 'organizations' then 'id' else 'org_id' end)::uuid;
  caller uuid := auth.uid();
  changes jsonb := '{}';
  field text;
begin
  -- Of an organization that goes as a whole, its own entry tells.
  if org is null
    or tg_table_name <> 'organizations' and not exists (select from public.organizations where id = org) then
    return null;
  end if;
  foreach field in array tg_argv[1:] loop
    if tg_op = 'UPDATE' then
      if before -> field is distinct from after -> field then
        changes := changes || jsonb_build_object(
          field, jsonb_build_object('from', before -> field, 'to', after -> field)
        );
      end if;
    else
      changes := changes || jsonb_build_object(field, present -> field);
    end if;
  end loop;
  if changes = '{}' then
    return null;
  end if;
  perform private.append_audit(org, jsonb_build_object(
    'id', gen_random_uuid(),
    'actor_id', caller,
    'actor_kind', case
      when caller is not null then 'user' when auth.role() = 'service_role' then 'service' else 'system'
    end,
    'action', tg_argv[0] || '.' || case
      when tg_op = 'INSERT' then 'created'
      when tg_op = 'DELETE' then 'deleted'
      when changes #>> '{revoked_at,to}' is not null then 'revoked'
      when changes #>> '{accepted_at,to}' is not null then 'accepted'
      when changes #>> '{replaced_by,to}' is not null then 'rotated'
      else 'updated'
    end,
    'outcome', 'success',
    'target_id', coalesce(present ->> 'id', present ->> 'user_id', present ->> 'subject'),
    'details', changes
  ));
  return null;
end
$$;
create trigger audit_change after insert or update or delete on public.usage_limits
  for each row execute function private.audit_change('limits', 'subject', 'rules');

-- The API

create function api.set_limits(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
  named text := coalesce(payload ->> 'subject', '');
  wanted jsonb := private.read_items(payload, 'rules', 16);
  stored public.usage_limits;
begin
  perform private.require_permission(org, 'limits:write');
  if wanted <> '[]' and not private.are_limits(wanted) then
    raise sqlstate 'PT422' using message = 'these limits cannot be set', detail = 'rules';
  end if;
  if wanted = '[]' then
    delete from public.usage_limits where org_id = org and subject = named;
    if not found then
      perform private.require_subject(org, named);
    end if;
  else
    update public.usage_limits set rules = wanted where org_id = org and subject = named returning * into stored;
    if not found then
      perform private.require_subject(org, named);
      insert into public.usage_limits (org_id, subject, rules) values (org, named, wanted)
      on conflict (org_id, subject) do update set rules = excluded.rules
      returning * into stored;
    end if;
  end if;
  return jsonb_build_object(
    'subject', named,
    'rules', wanted,
    'version', stored.version,
    'updated_by', stored.updated_by,
    'updated_at', stored.updated_at
  );
end
$$;
comment on function api.set_limits(jsonb) is
  '{org_id?, subject: org|user:<id>|key:<id>, rules: [{unit, window, limit}], at most 16} -> {subject, rules, version, '
  'updated_by, updated_at}: in place of all that were set for the subject; none of them go back to the defaults. PT403 '
  'limits:write; PT404: no such member or key; PT422.';

create function api.list_limits(payload jsonb default '{}')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
  named text := payload ->> 'subject';
  listed jsonb;
begin
  perform private.require_permission(org, 'limits:read');
  select jsonb_agg(jsonb_build_object(
    'subject', subject,
    'rules', rules,
    'version', version,
    'updated_by', updated_by,
    'updated_at', updated_at
  ) order by subject)
  into listed
  from (
    select * from public.usage_limits
    where org_id = org and (named is null or subject = named)
    order by subject
    limit 1000
  ) page;
  if listed is null and named is not null then
    perform private.require_subject(org, named);
  end if;
  return jsonb_build_object('limits', coalesce(listed, '[]'));
end
$$;
comment on function api.list_limits(jsonb) is
  '{org_id?, subject?} -> {limits: [{subject, rules, version, updated_by, updated_at}]}: what is set in place of the '
  'defaults, at most 1000. PT403 limits:read; PT404: no such member or key; PT422.';

revoke all on function api.set_limits(jsonb), api.list_limits(jsonb) from public;
grant execute on function api.set_limits(jsonb), api.list_limits(jsonb) to authenticated;
