-- What an access token says, and how one is told that says too much: each carries its user's epoch, which goes up
-- whenever the user may no longer do all that it says. Who may do more sees it with the next token.

alter table public.users
  add column current_org_id uuid,
  add column authz_epoch bigint not null default 1,
  add constraint users_current_org_id_fkey foreign key (current_org_id, id)
    references public.organization_members (org_id, user_id) on delete set null (current_org_id);
comment on column public.users.current_org_id is
  'The organization of the next access tokens, always one that the user belongs to; null means the one joined first.';
comment on column public.users.authz_epoch is 'A token with a lower one was made before the user''s rights changed.';
create index users_current_org_id on public.users (current_org_id, id);
grant update (current_org_id) on table public.users to authenticated;

create table private.authz_changes (
  user_id uuid primary key,
  authz_epoch bigint not null,
  changed_at timestamptz not null default clock_timestamp()
);
comment on table private.authz_changes is
  'Whose epoch went up lately: what the edge asks for every few seconds. No token lives as long as a row.';
create index authz_changes_changed_at on private.authz_changes (changed_at);
alter table private.authz_changes enable row level security;
revoke all on table private.authz_changes from public, anon, authenticated, service_role;
grant select on table private.authz_changes to service_role;

create function private.note_authz_change(users uuid[], epochs bigint[])
returns void
language sql
security definer
set search_path = ''
as $$
  -- Whoever adds one clears away a few that no token can be older than.
  delete from private.authz_changes where user_id in (
    select user_id from private.authz_changes
    where changed_at < now() - interval '25 hours' limit 100 for update skip locked
  );
  insert into private.authz_changes (user_id, authz_epoch)
  select * from unnest(note_authz_change.users, note_authz_change.epochs)
  on conflict (user_id) do update set authz_epoch = excluded.authz_epoch, changed_at = excluded.changed_at
$$;
comment on function private.note_authz_change(uuid[], bigint[]) is
  'Makes new epochs known to the edge. Runs as its owner, because nobody writes the table.';
revoke all on function private.note_authz_change(uuid[], bigint[]) from public;

create function private.raise_authz_epoch(users uuid[])
returns void
language sql
security definer
set search_path = ''
as $$
  -- In one order, so that two who raise the epochs of the same people do not wait for each other.
  with chosen as (
    select id from public.users where id = any (raise_authz_epoch.users) order by id for no key update
  ), raised as (
    update public.users set authz_epoch = authz_epoch + 1 from chosen where users.id = chosen.id
    returning users.id, users.authz_epoch, users.created_at
  )
  -- A user who is being made has no token yet.
  select private.note_authz_change(array_agg(id order by id), array_agg(authz_epoch order by id))
  from raised where created_at < now()
$$;
comment on function private.raise_authz_epoch(uuid[]) is
  'Makes the present access tokens of users stale. Runs as its owner, because no user may write the epoch.';
revoke all on function private.raise_authz_epoch(uuid[]) from public;
grant execute on function private.raise_authz_epoch(uuid[]) to service_role;

create function private.note_deleted_user()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Above every epoch, and still a whole number in JSON (RFC 8259 section 6).
  perform private.note_authz_change(array[old.id], array[9007199254740991]);
  return null;
end
$$;
comment on function private.note_deleted_user() is
  'Makes all tokens of a user who is gone stale. Runs as its owner, because whoever deletes a user may not write the '
  'table.';
revoke all on function private.note_deleted_user() from public;
create trigger note_deleted_user after delete on public.users
  for each row execute function private.note_deleted_user();

create function private.note_changed_rights()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.raise_authz_epoch(array[(to_jsonb(old) ->> tg_argv[0])::uuid, (to_jsonb(new) ->> tg_argv[0])::uuid]);
  return null;
end
$$;
comment on function private.note_changed_rights() is
  'Raises the epoch of the user in the column that the trigger names. Runs as its owner, because whoever changes a '
  'membership may not write the epoch.';

create function private.note_changed_role()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.raise_authz_epoch(array(select user_id from public.user_roles where role_id = new.id));
  return null;
end
$$;
comment on function private.note_changed_role() is
  'Raises the epochs of all who have a role. Runs as its owner, as the function that it calls may not be called by '
  'users.';
revoke all on function private.note_changed_rights(), private.note_changed_role() from public;

create trigger note_changed_rights after update or delete on public.organization_members
  for each row execute function private.note_changed_rights('user_id');
create trigger note_changed_rights after update or delete on public.user_roles
  for each row execute function private.note_changed_rights('user_id');
create trigger note_changed_role after update on public.roles
  for each row when ((old.name, old.permissions) is distinct from (new.name, new.permissions))
  execute function private.note_changed_role();
create trigger note_changed_rights after update on auth.users
  for each row when ((old.banned_until, old.deleted_at) is distinct from (new.banned_until, new.deleted_at))
  execute function private.note_changed_rights('id');

grant select (id, current_org_id, authz_epoch) on table public.users to supabase_auth_admin;
grant select on table public.roles, public.user_roles to supabase_auth_admin;
create policy "the token hook reads users" on public.users for select to supabase_auth_admin using (true);
create policy "the token hook reads roles" on public.roles for select to supabase_auth_admin using (true);
create policy "the token hook reads who has which role" on public.user_roles
  for select to supabase_auth_admin using (true);

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
  select member.org_id, organization.tier, jsonb_build_array(member.role) || (
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

  claims := jsonb_set(claims, '{app_metadata}', coalesce(claims -> 'app_metadata', '{}') || jsonb_build_object(
    'org_id', membership.org_id,
    'roles', coalesce(membership.roles, '[]'),
    'tier', coalesce(membership.tier, 'T1'),
    'authz_epoch', coalesce(epoch, 0)
  ));
  return jsonb_set(event, '{claims}', claims);
end
$$;
comment on function public.custom_access_token_hook(jsonb) is
  'Puts the user''s current organization, the roles there, its tier and the user''s epoch into app_metadata of every '
  'access token, so that a request with a token costs no look-up. All other claims stay as they are.';

create function api.switch_organization(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_uuid(payload, 'org_id');
begin
  perform private.require_permission(org, 'organization:read');
  update public.users set current_org_id = org where id = (select auth.uid());
  return jsonb_build_object('org_id', org);
end
$$;
comment on function api.switch_organization(jsonb) is
  '{org_id} -> {org_id}: access tokens that the caller gets from now on are for this organization; the present one '
  'stays as it is. PT404: the caller does not belong to it; PT422.';
revoke all on function api.switch_organization(jsonb) from public;
grant execute on function api.switch_organization(jsonb) to authenticated;

create function api.authz_changes(payload jsonb default '{}')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  -- A change that is seen late was made up to a minute before it was committed.
  since timestamptz := private.read_time(payload, 'since') - interval '1 minute';
begin
  return jsonb_build_object('as_of', now(), 'changes', (
    select coalesce(jsonb_object_agg(user_id, authz_epoch), '{}') from (
      select user_id, authz_epoch from private.authz_changes
      where changed_at > coalesce(since, now() - interval '25 hours')
      order by changed_at desc
      limit 10000
    ) latest
  ));
end
$$;
comment on function api.authz_changes(jsonb) is
  '{since? (as_of of the answer before; else 25 hours)} -> {as_of, changes: {user_id: epoch}}, the latest 10000. A '
  'token of the user with a lower authz_epoch is stale. PT422.';
revoke all on function api.authz_changes(jsonb) from public;
grant execute on function api.authz_changes(jsonb) to service_role;
