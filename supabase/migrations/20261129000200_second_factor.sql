-- An organization can require a second factor of its members. The access token says how its user signed in (`aal`), and
-- every question about permissions asks for it: without a second factor a member has none there.

alter table public.organizations add column requires_aal2 boolean not null default false;
comment on column public.organizations.requires_aal2 is
  'Whether its members act in it only when they have signed in with a second factor.';
grant update (requires_aal2) on table public.organizations to authenticated;

create function private.has_second_factor()
returns boolean
language sql
stable
set search_path = ''
as $$
  -- A key was made by somebody who had the permission, and changes nobody's rights itself.
  select coalesce(
    claims ->> 'aal' = 'aal2' or claims ->> 'exchanged' = 'true' and claims ->> 'key_id' is not null, false
  )
  from (select auth.jwt() as claims) token
$$;
comment on function private.has_second_factor() is
  'Whether the caller signed in with a second factor, or an API key acts for them.';

create function private.lacks_second_factor(org uuid)
returns boolean
language sql
stable
set search_path = ''
as $$
  select coalesce((
    select requires_aal2 and not private.has_second_factor() from public.organizations where id = org
  ), false)
$$;
comment on function private.lacks_second_factor(uuid) is
  'Whether an organization that the caller belongs to requires a second factor with which they have not signed in.';

revoke all on function private.has_second_factor(), private.lacks_second_factor(uuid) from public;
grant execute on function private.has_second_factor(), private.lacks_second_factor(uuid) to authenticated;

-- The questions that policies and functions ask

create or replace function private.permissions_in(org uuid)
returns text[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(distinct permission), '{}')
  from public.organization_members member
  join public.organizations organization
    on organization.id = member.org_id and (not organization.requires_aal2 or private.has_second_factor())
  join public.roles on roles.org_id is null and roles.name = member.role or roles.id in (
    select role_id from public.user_roles extra where extra.org_id = member.org_id and extra.user_id = member.user_id
  )
  cross join unnest(roles.permissions) permission
  where member.org_id = org and member.user_id = (select auth.uid())
$$;
comment on function private.permissions_in(uuid) is
  'What the caller may do in an organization: all roles together, and nothing without a second factor that it '
  'requires. Runs as its owner, because policies of the tables that it reads ask it.';

create or replace function private.orgs_with_permission(permission text)
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(member.org_id), '{}')
  from public.organization_members member
  join public.organizations organization
    on organization.id = member.org_id and (not organization.requires_aal2 or private.has_second_factor())
  where member.user_id = (select auth.uid()) and exists (
    select from public.roles
    where permission = any (roles.permissions) and (
      roles.org_id is null and roles.name = member.role or roles.id in (
        select role_id from public.user_roles extra
        where extra.org_id = member.org_id and extra.user_id = member.user_id
      )
    )
  )
$$;
comment on function private.orgs_with_permission(text) is
  'The organizations in which the caller has a permission, none without a second factor that it requires. Runs as its '
  'owner, because policies of the tables that it reads ask it.';

create function private.require_membership(org uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not coalesce(org = any (private.member_orgs()), false) then
    raise sqlstate 'PT404' using message = 'no such organization', detail = 'org_id';
  end if;
end
$$;
comment on function private.require_membership(uuid) is 'PT404: the caller is no member of the organization.';
revoke all on function private.require_membership(uuid) from public;
grant execute on function private.require_membership(uuid) to authenticated;

create or replace function private.require_permission(org uuid, permission text)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  perform private.require_membership(org);
  if private.lacks_second_factor(org) then
    raise sqlstate 'PT403' using message = 'the organization requires a second factor', detail = 'aal2';
  end if;
  if not permission = any (private.permissions_in(org)) then
    raise sqlstate 'PT403' using message = format('this needs the permission %s', permission), detail = permission;
  end if;
end
$$;
comment on function private.require_permission(uuid, text) is
  'PT404: the caller is no member of the organization. PT403: the caller lacks the permission there, or (detail aal2) '
  'has signed in without the second factor that it requires.';

-- The setting

create function private.guard_second_factor()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- The service is no user.
  if auth.uid() is not null then
    perform private.require_permission(new.id, 'organization:delete');
    if not private.has_second_factor() then
      raise sqlstate 'PT403' using message = 'this needs a second factor', detail = 'aal2';
    end if;
  end if;
  return new;
end
$$;
comment on function private.guard_second_factor() is
  'Lets owners alone say whether a second factor is required, and only with one, so that nobody locks themselves out. '
  'Runs as its owner, because the service, which it lets pass, may not ask what it asks.';
create trigger guard_second_factor before update on public.organizations
  for each row when (old.requires_aal2 is distinct from new.requires_aal2)
  execute function private.guard_second_factor();

create function private.note_required_factor()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.raise_authz_epoch(array(select user_id from public.organization_members where org_id = new.id));
  return null;
end
$$;
comment on function private.note_required_factor() is
  'Makes the tokens of all members stale, which do not say yet that a second factor is required. Runs as its owner, '
  'because no user may write the epoch.';
revoke all on function private.guard_second_factor(), private.note_required_factor() from public;
create trigger note_required_factor after update on public.organizations
  for each row when (new.requires_aal2 and not old.requires_aal2) execute function private.note_required_factor();

drop trigger audit_change on public.organizations;
create trigger audit_change after insert or update or delete on public.organizations
  for each row execute function private.audit_change('organization', 'name', 'tier', 'requires_aal2');

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
  select member.org_id, organization.tier, organization.requires_aal2, jsonb_build_array(member.role) || (
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
    'requires_aal2', coalesce(membership.requires_aal2, false),
    'authz_epoch', coalesce(epoch, 0)
  ));
  return jsonb_set(event, '{claims}', claims);
end
$$;
comment on function public.custom_access_token_hook(jsonb) is
  'Puts the user''s current organization, the roles there, its tier, whether it requires a second factor and the '
  'user''s epoch into app_metadata of every access token, so that a request with a token costs no look-up. All other '
  'claims stay as they are.';

-- The API

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
  wanted text;
begin
  perform private.require_permission(org, 'organization:write');
  if payload ->> 'name' is not null or factor is null then
    wanted := private.read_text(payload, 'name', 100);
  end if;
  if jsonb_typeof(factor) <> 'boolean' then
    raise sqlstate 'PT422' using message = 'requires_aal2 must be true or false', detail = 'requires_aal2';
  end if;
  update public.organizations
  set name = coalesce(wanted, name), requires_aal2 = coalesce(factor::boolean, requires_aal2)
  where id = org;
  return private.show_organization(org);
end
$$;
comment on function api.update_organization(jsonb) is
  '{org_id?, name?, requires_aal2?}, one of them at least -> the organization, changed. PT403 organization:write; for '
  'requires_aal2 also organization:delete (owners) and a second factor; PT404, PT422.';
comment on function api.create_organization(jsonb) is
  '{name} -> {id, name, tier, personal, requires_aal2, role, permissions, created_at}: makes an organization that the '
  'caller owns. PT403: the caller is anonymous; PT409: a hundred are enough; PT422.';
comment on function api.list_organizations(jsonb) is
  '{} -> {organizations: [{id, name, tier, personal, requires_aal2, role, permissions, created_at}]}: those that the '
  'caller belongs to, in the order of joining, at most 1000; without the second factor that one requires there are no '
  'permissions.';
comment on function api.get_organization(jsonb) is
  '{org_id?} -> {id, name, tier, personal, requires_aal2, role, permissions, created_at}. PT403: it requires a second '
  'factor; PT404: the caller does not belong to it.';

-- To choose another organization and to leave one takes no right in it.

create or replace function api.switch_organization(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_uuid(payload, 'org_id');
begin
  perform private.require_membership(org);
  update public.users set current_org_id = org where id = (select auth.uid());
  return jsonb_build_object('org_id', org);
end
$$;

create or replace function api.leave_organization(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_uuid(payload, 'org_id');
begin
  perform private.require_membership(org);
  delete from public.organization_members where org_id = org and user_id = (select auth.uid());
  if not found then
    raise sqlstate 'PT404' using message = 'no such organization', detail = 'org_id';
  end if;
  return jsonb_build_object('org_id', org);
end
$$;

create or replace function api.create_key(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  created uuid;
  org uuid := private.read_org(payload);
  expiry timestamptz := (payload ->> 'expires_at')::timestamptz;
begin
  perform private.require_permission(org, 'keys:write');
  if expiry <= now() then
    raise sqlstate 'PT422' using message = 'expires_at is in the past', detail = 'expires_at';
  end if;
  insert into public.api_keys (org_id, name, digest, pepper_version, prefix, scopes, allowed_cidrs, expires_at)
  values (
    org,
    payload ->> 'name',
    decode(payload ->> 'digest', 'hex'),
    (payload ->> 'pepper_version')::smallint,
    payload ->> 'prefix',
    array(select jsonb_array_elements_text(payload -> 'scopes')),
    private.read_networks(payload, 'allowed_cidrs'),
    expiry
  )
  returning id into created;
  return private.show_key(created);
end
$$;
comment on function api.create_key(jsonb) is
  '{org_id?, name, digest, pepper_version, prefix, scopes, allowed_cidrs?, expires_at?} -> {id, org_id, user_id, '
  'name, prefix, scopes, allowed_cidrs, expires_at, revoked_at, replaced_by, created_at, last_used_at}: makes a key '
  'of the caller for the organization in the access token, or for org_id. PT403 keys:write; PT422: expires_at is in '
  'the past, or allowed_cidrs are no networks; PT404.';
