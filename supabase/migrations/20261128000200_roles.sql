-- What members may do: roles are sets of permissions. Four are built in; an organization can make more.

create table public.roles (
  id uuid primary key default gen_random_uuid(),
  org_id uuid references public.organizations (id) on delete cascade,
  name text not null check (name ~ '^[a-z][a-z0-9_-]{0,39}$'),
  permissions text[] not null check (
    cardinality(permissions) <= 50
    and array_position(permissions, null) is null
    and array_to_string(permissions, ' ') ~ '^([a-z_]{1,30}:[a-z_]{1,30}( |$))*$'
  ),
  created_at timestamptz not null default now(),
  unique nulls not distinct (org_id, name),
  constraint roles_builtin_names check (org_id is null or name not in ('owner', 'admin', 'developer', 'viewer'))
);
comment on table public.roles is 'Sets of permissions: the built-in ones, and those that organizations have made.';
comment on column public.roles.org_id is 'The organization that made it; null if it is built in.';
comment on column public.roles.permissions is 'Each is `resource:action`.';

-- Each of them has all that the next has, and more: whoever has every permission of a role stands at least as high.
insert into public.roles (name, permissions)
select name, array(
  select permission from (values
    ('organization:read', 4), ('members:read', 4), ('capsules:read', 4), ('executions:read', 4), ('workflows:read', 4),
    ('keys:write', 3), ('integrations:read', 3), ('webhooks:read', 3), ('capsules:write', 3), ('executions:write', 3),
    ('workflows:write', 3),
    ('organization:write', 2), ('members:write', 2), ('roles:write', 2), ('teams:write', 2), ('keys:manage', 2),
    ('usage:read', 2), ('audit:read', 2), ('billing:read', 2), ('policies:read', 2), ('integrations:write', 2),
    ('webhooks:write', 2),
    ('organization:delete', 1), ('billing:write', 1)
  ) as permission (permission, rank)
  where permission.rank >= role.rank
  order by permission
)
from (values ('owner', 1), ('admin', 2), ('developer', 3), ('viewer', 4)) as role (name, rank);

create table public.user_roles (
  org_id uuid not null,
  user_id uuid not null,
  role_id uuid not null references public.roles (id) on delete cascade,
  granted_by uuid default auth.uid() references auth.users (id) on delete set null,
  created_at timestamptz not null default now(),
  primary key (org_id, user_id, role_id),
  foreign key (org_id, user_id) references public.organization_members (org_id, user_id) on delete cascade
);
comment on table public.user_roles is 'Roles that a member has besides the one of the membership.';
comment on column public.user_roles.granted_by is
  'Null if it was the service, or somebody who has no account any more.';
create index user_roles_role on public.user_roles (role_id);
create index user_roles_user on public.user_roles (user_id);
create index user_roles_granted_by on public.user_roles (granted_by);

create function private.check_user_role()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if not exists (
    select from public.roles
    where id = new.role_id and (org_id = new.org_id or org_id is null and name <> 'owner')
  ) then
    raise sqlstate 'PT422' using message = 'no such role in this organization', detail = 'role_id';
  end if;
  if (select count(*) from public.user_roles where org_id = new.org_id and user_id = new.user_id) >= 10 then
    raise sqlstate 'PT409' using message = 'a member has at most 10 further roles', detail = 'role_id';
  end if;
  return new;
end
$$;
comment on function private.check_user_role() is
  'Refuses roles of other organizations, the owner''s, and more than fit into an access token. Runs as its owner, '
  'because it must see every role.';
revoke all on function private.check_user_role() from public;
create trigger check_user_role before insert or update on public.user_roles
  for each row execute function private.check_user_role();

-- What the caller may do. Policies and functions ask these.

create function private.permissions_in(org uuid)
returns text[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(distinct permission), '{}')
  from public.organization_members member
  join public.roles on roles.org_id is null and roles.name = member.role or roles.id in (
    select role_id from public.user_roles extra where extra.org_id = member.org_id and extra.user_id = member.user_id
  )
  cross join unnest(roles.permissions) permission
  where member.org_id = org and member.user_id = (select auth.uid())
$$;
comment on function private.permissions_in(uuid) is
  'What the caller may do in an organization: all roles together. Runs as its owner, because policies of the tables '
  'that it reads ask it.';

create function private.orgs_with_permission(permission text)
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(member.org_id), '{}')
  from public.organization_members member
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
  'The organizations in which the caller has a permission. Runs as its owner, because policies of the tables that it '
  'reads ask it.';
comment on function private.member_orgs() is
  'The organizations that the caller belongs to. Runs as its owner, because the policy of the table that it reads '
  'asks it.';

create function private.covers_role(org uuid, role text)
returns boolean
language sql
stable
set search_path = ''
as $$
  select permissions <@ private.permissions_in(org) from public.roles where org_id is null and name = role
$$;
comment on function private.covers_role(uuid, text) is
  'Whether the caller has every permission of a built-in role, and so may give and take it; null if there is none.';

create function private.require_permission(org uuid, permission text)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not coalesce(org = any (private.member_orgs()), false) then
    raise sqlstate 'PT404' using message = 'no such organization', detail = 'org_id';
  end if;
  if not permission = any (private.permissions_in(org)) then
    raise sqlstate 'PT403' using message = format('this needs the permission %s', permission), detail = permission;
  end if;
end
$$;
comment on function private.require_permission(uuid, text) is
  'PT404: the caller is no member of the organization. PT403: the caller lacks the permission there.';

create function private.require_role(org uuid, role text)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  is_covered boolean := private.covers_role(org, role);
begin
  if is_covered is null then
    raise sqlstate 'PT422' using message = 'role must be owner, admin, developer or viewer', detail = 'role';
  end if;
  if not is_covered then
    raise sqlstate 'PT403' using message = format('this needs every permission of the role %s', role), detail = 'role';
  end if;
end
$$;
comment on function private.require_role(uuid, text) is
  'PT422: no built-in role has this name. PT403: the caller lacks one of its permissions, so may not give or take it.';

revoke all on function
  private.permissions_in(uuid), private.orgs_with_permission(text), private.covers_role(uuid, text),
  private.require_permission(uuid, text), private.require_role(uuid, text)
  from public;
grant execute on function
  private.permissions_in(uuid), private.orgs_with_permission(text), private.covers_role(uuid, text),
  private.require_permission(uuid, text), private.require_role(uuid, text)
  to authenticated;

alter table public.roles enable row level security;
alter table public.user_roles enable row level security;
revoke all on table public.roles, public.user_roles from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.roles, public.user_roles to service_role;

grant select, insert (org_id, name, permissions), update (name, permissions), delete
  on table public.roles to authenticated;
create policy "built-in roles and those of one's organizations are visible" on public.roles
  for select to authenticated using (org_id is null or org_id = any ((select private.member_orgs())::uuid[]));
-- Nobody makes, widens, narrows or deletes a role that can do more than they can.
create policy "roles are made within one's own permissions" on public.roles
  for insert to authenticated with check (
    org_id = any ((select private.orgs_with_permission('roles:write'))::uuid[])
    and permissions <@ private.permissions_in(org_id)
  );
create policy "roles are changed within one's own permissions" on public.roles
  for update to authenticated
  using (
    org_id = any ((select private.orgs_with_permission('roles:write'))::uuid[])
    and permissions <@ private.permissions_in(org_id)
  )
  with check (permissions <@ private.permissions_in(org_id));
create policy "roles are deleted within one's own permissions" on public.roles
  for delete to authenticated using (
    org_id = any ((select private.orgs_with_permission('roles:write'))::uuid[])
    and permissions <@ private.permissions_in(org_id)
  );

grant select, insert (org_id, user_id, role_id), delete on table public.user_roles to authenticated;
create policy "members see each other's roles" on public.user_roles
  for select to authenticated using (org_id = any ((select private.member_orgs())::uuid[]));
create policy "roles are given within one's own permissions" on public.user_roles
  for insert to authenticated with check (
    org_id = any ((select private.orgs_with_permission('members:write'))::uuid[])
    and (select permissions from public.roles where id = role_id) <@ private.permissions_in(org_id)
  );
create policy "roles are taken within one's own permissions" on public.user_roles
  for delete to authenticated using (
    org_id = any ((select private.orgs_with_permission('members:write'))::uuid[])
    and (select permissions from public.roles where id = role_id) <@ private.permissions_in(org_id)
  );

-- Policies of earlier tables named roles; they ask for permissions from now on.

drop policy "owners and admins rename their organizations" on public.organizations;
create policy "organizations are renamed by those who run them" on public.organizations
  for update to authenticated
  using (id = any ((select private.orgs_with_permission('organization:write'))::uuid[]))
  with check (id = any ((select private.orgs_with_permission('organization:write'))::uuid[]));

drop policy "own keys, and those of the organizations one runs, are visible" on public.api_keys;
create policy "own keys, and those of the organizations one runs, are visible" on public.api_keys
  for select to authenticated using (
    user_id = (select auth.uid())
    or org_id = any ((select private.orgs_with_permission('keys:manage'))::uuid[])
  );
drop policy "whoever may use an organization makes own keys for it" on public.api_keys;
create policy "whoever may use an organization makes own keys for it" on public.api_keys
  for insert to authenticated with check (
    user_id = (select auth.uid())
    and org_id = any ((select private.orgs_with_permission('keys:write'))::uuid[])
  );
drop policy "keys are revoked by their users and by those who run the organization" on public.api_keys;
create policy "keys are revoked by their users and by those who run the organization" on public.api_keys
  for update to authenticated
  using (
    user_id = (select auth.uid())
    or org_id = any ((select private.orgs_with_permission('keys:manage'))::uuid[])
  )
  with check (revoked_at is not null);

drop policy "own usage, and that of the organizations one runs, is visible" on public.llm_usage;
create policy "own usage, and that of the organizations one runs, is visible" on public.llm_usage
  for select to authenticated using (
    user_id = (select auth.uid())
    or org_id = any ((select private.orgs_with_permission('usage:read'))::uuid[])
  );

drop function private.orgs_with_role(text[]);

-- The API

create function private.show_role(role public.roles)
returns jsonb
language sql
immutable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', role.id,
    'name', role.name,
    'permissions', to_jsonb(role.permissions),
    'built_in', role.org_id is null,
    'created_at', role.created_at
  )
$$;
comment on function private.show_role(public.roles) is 'A role as the API shows it.';
revoke all on function private.show_role(public.roles) from public;
grant execute on function private.show_role(public.roles) to authenticated;

create function api.list_roles(payload jsonb default '{}')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
begin
  perform private.require_permission(org, 'members:read');
  return jsonb_build_object('roles', (
    select jsonb_agg(private.show_role(roles) order by org_id nulls first, name)
    from public.roles where org_id is null or org_id = org
  ));
end
$$;
comment on function api.list_roles(jsonb) is
  '{org_id?} -> {roles: [{id, name, permissions, built_in, created_at}]}: those that members of the organization can '
  'have. PT404, PT403 members:read.';

create function api.create_role(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
  wanted text := private.read_text(payload, 'name', 40);
  listed text[] := array(
    select distinct jsonb_array_elements_text(private.read_items(payload, 'permissions', 50)) order by 1
  );
  made public.roles;
begin
  perform private.require_permission(org, 'roles:write');
  if not listed <@ private.permissions_in(org) then
    raise sqlstate 'PT403' using
      message = 'a role cannot have a permission that you do not have', detail = 'permissions';
  end if;
  if wanted !~ '^[a-z][a-z0-9_-]*$' then
    raise sqlstate 'PT422' using message = 'name must be lower-case letters, digits, - and _', detail = 'name';
  end if;
  if (select count(*) from public.roles where org_id = org) >= 100 then
    raise sqlstate 'PT409' using message = 'an organization has at most 100 roles of its own', detail = 'org_id';
  end if;
  insert into public.roles (org_id, name, permissions) values (org, wanted, listed) returning * into made;
  return private.show_role(made);
exception when unique_violation or check_violation then
  raise sqlstate 'PT409' using message = 'there is a role of this name', detail = 'name';
end
$$;
comment on function api.create_role(jsonb) is
  '{org_id?, name, permissions: [resource:action]} -> the role. PT403 roles:write, or a permission that the caller '
  'lacks; PT409: the name is taken, or there are too many; PT404, PT422.';

create function api.delete_role(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  wanted uuid := private.read_uuid(payload, 'id');
  org uuid;
begin
  select org_id into org from public.roles where id = wanted and org_id is not null;
  if org is null then
    raise sqlstate 'PT404' using message = 'no such role', detail = 'id';
  end if;
  perform private.require_permission(org, 'roles:write');
  delete from public.roles where id = wanted;
  if not found then
    raise sqlstate 'PT403' using message = 'the role has a permission that you do not have', detail = 'id';
  end if;
  return jsonb_build_object('id', wanted);
end
$$;
comment on function api.delete_role(jsonb) is
  '{id} -> {id}: deletes a role that the organization made; whoever had it loses it. PT403 roles:write, or the role '
  'has a permission that the caller lacks; PT404: it does not exist, is built in, or is another organization''s.';

create function api.assign_role(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
  member uuid := private.read_uuid(payload, 'user_id');
  wanted public.roles;
begin
  perform private.require_permission(org, 'members:write');
  if not exists (select from public.organization_members where org_id = org and user_id = member) then
    raise sqlstate 'PT404' using message = 'no such member', detail = 'user_id';
  end if;
  select * into wanted from public.roles
  where id = private.read_uuid(payload, 'role_id') and (org_id is null or org_id = org);
  if wanted.id is null then
    raise sqlstate 'PT404' using message = 'no such role', detail = 'role_id';
  end if;
  if not wanted.permissions <@ private.permissions_in(org) then
    raise sqlstate 'PT403' using message = 'the role has a permission that you do not have', detail = 'role_id';
  end if;
  if not exists (select from public.user_roles where org_id = org and user_id = member and role_id = wanted.id) then
    insert into public.user_roles (org_id, user_id, role_id) values (org, member, wanted.id) on conflict do nothing;
  end if;
  return jsonb_build_object('org_id', org, 'user_id', member, 'role_id', wanted.id, 'name', wanted.name);
end
$$;
comment on function api.assign_role(jsonb) is
  '{org_id?, user_id, role_id} -> {org_id, user_id, role_id, name}: gives a member one more role; again changes '
  'nothing. PT403 members:write, or a permission that the caller lacks; PT409: ten are enough; PT422: owner is no '
  'further role; PT404.';

create function api.unassign_role(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
  member uuid := private.read_uuid(payload, 'user_id');
  wanted uuid := private.read_uuid(payload, 'role_id');
begin
  perform private.require_permission(org, 'members:write');
  if not exists (select from public.user_roles where org_id = org and user_id = member and role_id = wanted) then
    raise sqlstate 'PT404' using message = 'the member has no such role', detail = 'role_id';
  end if;
  delete from public.user_roles where org_id = org and user_id = member and role_id = wanted;
  if not found then
    raise sqlstate 'PT403' using message = 'the role has a permission that you do not have', detail = 'role_id';
  end if;
  return jsonb_build_object('org_id', org, 'user_id', member, 'role_id', wanted);
end
$$;
comment on function api.unassign_role(jsonb) is
  '{org_id?, user_id, role_id} -> the same: takes a further role from a member. PT403 members:write, or a permission '
  'that the caller lacks; PT404.';

revoke all on function
  api.list_roles(jsonb), api.create_role(jsonb), api.delete_role(jsonb), api.assign_role(jsonb),
  api.unassign_role(jsonb)
  from public;
grant execute on function api.list_roles(jsonb), api.create_role(jsonb), api.delete_role(jsonb) to authenticated;
grant execute on function api.assign_role(jsonb), api.unassign_role(jsonb) to authenticated;
