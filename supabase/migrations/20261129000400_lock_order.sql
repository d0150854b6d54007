-- Locks are taken in one order: the organization, then users by their ids, then what belongs to either. Whoever changes
-- something in an organization keeps it from being deleted meanwhile, and whoever deletes it waits; none of them holds
-- anything yet that the other wants.

create function private.hold_organization(org uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Who only reads, in a transaction that is told so, holds nothing.
  if not current_setting('transaction_read_only')::boolean then
    perform from public.organizations where id = org for key share;
  end if;
end
$$;
comment on function private.hold_organization(uuid) is
  'Keeps an organization until the end of the transaction; changes beside each other do not wait. Runs as its owner, '
  'because row level security lets only those lock a row who may change it.';

create function private.hold_to_delete(org uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform from public.organizations where id = org for update;
  -- Their epochs go up.
  perform from public.users
  where id in (select user_id from public.organization_members where org_id = org)
  order by id for no key update;
end
$$;
comment on function private.hold_to_delete(uuid) is
  'Waits until nobody changes anything in an organization, then holds it and its members. Runs as its owner, because '
  'row level security lets only those lock a row who may change it.';

create function private.hold_users(accounts uuid[])
returns void
language sql
security definer
set search_path = ''
as $$ select from public.users where id = any (accounts) order by id for no key update $$;
comment on function private.hold_users(uuid[]) is
  'Holds users whose epochs are about to go up, in one order. Runs as its owner, because no user may lock another.';

revoke all on function private.hold_organization(uuid), private.hold_to_delete(uuid), private.hold_users(uuid[])
  from public;
grant execute on function private.hold_organization(uuid), private.hold_to_delete(uuid), private.hold_users(uuid[])
  to authenticated;

-- Every function that changes something in an organization begins with one of these two questions.

create function private.check_permission(org uuid, permission text)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not coalesce(org = any (private.member_orgs()), false) then
    raise sqlstate 'PT404' using message = 'no such organization', detail = 'org_id';
  end if;
  if private.lacks_second_factor(org) then
    raise sqlstate 'PT403' using message = 'the organization requires a second factor', detail = 'aal2';
  end if;
  if not permission = any (private.permissions_in(org)) then
    raise sqlstate 'PT403' using message = format('this needs the permission %s', permission), detail = permission;
  end if;
end
$$;
comment on function private.check_permission(uuid, text) is
  'PT404: the caller is no member of the organization. PT403: the caller lacks the permission there, or (detail aal2) '
  'has signed in without the second factor that it requires.';
revoke all on function private.check_permission(uuid, text) from public;
grant execute on function private.check_permission(uuid, text) to authenticated;

create or replace function private.require_permission(org uuid, permission text)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform private.hold_organization(org);
  perform private.check_permission(org, permission);
end
$$;
comment on function private.require_permission(uuid, text) is
  'Holds the organization, then refuses as check_permission does.';

create or replace function private.require_membership(org uuid)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform private.hold_organization(org);
  if not coalesce(org = any (private.member_orgs()), false) then
    raise sqlstate 'PT404' using message = 'no such organization', detail = 'org_id';
  end if;
end
$$;
comment on function private.require_membership(uuid) is
  'Holds the organization. PT404: the caller is no member of it.';
alter function private.require_team(uuid) volatile;

-- Those that held something else before

create or replace function api.delete_organization(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  -- Not the one in the token: what is deleted must be named.
  org uuid := private.read_uuid(payload, 'org_id');
begin
  -- Asked twice: nobody holds up an organization that is not theirs, and who waited may have lost the right.
  perform private.check_permission(org, 'organization:delete');
  perform private.hold_to_delete(org);
  perform private.check_permission(org, 'organization:delete');
  if exists (select from public.organizations where id = org and personal_user_id is not null) then
    raise sqlstate 'PT409' using message = 'a personal organization goes with the account', detail = 'org_id';
  end if;
  delete from public.organizations where id = org;
  return jsonb_build_object('id', org);
end
$$;

create or replace function api.transfer_ownership(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_uuid(payload, 'org_id');
  successor uuid := private.read_uuid(payload, 'user_id');
  present_owner uuid := auth.uid();
begin
  perform private.require_permission(org, 'organization:read');
  if private.require_member(org, present_owner) <> 'owner' then
    raise sqlstate 'PT403' using message = 'only an owner hands an organization over', detail = 'org_id';
  end if;
  perform private.require_member(org, successor);
  if successor = present_owner then
    raise sqlstate 'PT422' using message = 'user_id must be somebody else', detail = 'user_id';
  end if;
  perform private.hold_users(array[successor, present_owner]);
  update public.organization_members set role = 'owner' where org_id = org and user_id = successor;
  -- Somebody was faster.
  if not found then
    raise sqlstate 'PT404' using message = 'no such member', detail = 'user_id';
  end if;
  update public.organization_members set role = 'admin' where org_id = org and user_id = present_owner;
  return jsonb_build_object('org_id', org, 'owner_id', successor);
end
$$;

create or replace function api.delete_role(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  wanted uuid := private.read_uuid(payload, 'id');
  named_org uuid := private.read_uuid(payload, 'org_id');
  org uuid;
begin
  select org_id into org from public.roles
  where id = wanted and org_id is not null and (named_org is null or org_id = named_org);
  if org is null then
    raise sqlstate 'PT404' using message = 'no such role', detail = 'id';
  end if;
  perform private.require_permission(org, 'roles:write');
  perform private.hold_users(array(select user_id from public.user_roles where role_id = wanted));
  delete from public.roles where id = wanted;
  if not found then
    raise sqlstate 'PT403' using message = 'the role has a permission that you do not have', detail = 'id';
  end if;
  return jsonb_build_object('id', wanted);
end
$$;

create or replace function private.accept_invitation(digest bytea)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  invitation record;
begin
  perform private.hold_organization(org_id) from public.organization_invitations where token_digest = digest;
  select wanted.id, wanted.org_id, wanted.role, account.id as user_id into invitation
  from public.organization_invitations wanted
  join auth.users account on lower(account.email) = wanted.email
  where wanted.token_digest = digest
    and wanted.accepted_at is null and wanted.revoked_at is null and wanted.expires_at > now()
    and account.id = auth.uid() and account.email_confirmed_at is not null and not account.is_anonymous
    and private.is_active_user(account.id)
  for update of wanted;
  if not found then
    raise sqlstate 'PT404' using message = 'no such invitation for your verified address', detail = 'digest';
  end if;
  insert into public.organization_members (org_id, user_id, role)
  values (invitation.org_id, invitation.user_id, invitation.role)
  on conflict do nothing;
  if not found then
    raise sqlstate 'PT409' using message = 'you are a member already', detail = 'digest';
  end if;
  update public.organization_invitations
  set accepted_at = now(), accepted_by = invitation.user_id
  where id = invitation.id;
  return jsonb_build_object('org_id', invitation.org_id, 'role', invitation.role);
end
$$;

create or replace function api.rotate_key(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  wanted uuid := private.read_uuid(payload, 'id');
  digest bytea := private.read_digest(payload, 'digest');
  version smallint := private.read_whole(payload, 'pepper_version', null, 1, 32767);
  prefix text := private.read_text(payload, 'prefix', 32);
  overlap bigint := private.read_whole(payload, 'overlap_seconds', 86400, 0, 604800);
  expiry timestamptz := private.read_time(payload, 'expires_at');
  present record;
  successor uuid;
begin
  perform private.hold_organization(org_id) from public.api_keys where id = wanted and user_id = (select auth.uid());
  select id, org_id, name, scopes, allowed_cidrs, created_at, expires_at, replaced_by into present
  from public.api_keys
  where id = wanted and user_id = (select auth.uid())
    and revoked_at is null and (expires_at is null or expires_at > now())
  for no key update;
  if not found then
    raise sqlstate 'PT404' using message = 'no such key', detail = 'id';
  end if;
  if present.replaced_by is not null then
    raise sqlstate 'PT409' using message = 'the key has been rotated already', detail = 'id';
  end if;
  if expiry <= now() then
    raise sqlstate 'PT422' using message = 'expires_at is in the past', detail = 'expires_at';
  end if;
  perform private.require_permission(present.org_id, 'keys:write');
  -- A key that ends has successors that end: by default as long after their making.
  insert into public.api_keys (org_id, name, digest, pepper_version, prefix, scopes, allowed_cidrs, expires_at)
  values (
    present.org_id, present.name, digest, version, prefix, present.scopes, present.allowed_cidrs,
    coalesce(expiry, now() + (present.expires_at - present.created_at))
  )
  returning id into successor;
  perform private.supersede_key(wanted, successor, overlap * interval '1 second');
  return private.show_key(successor) || jsonb_build_object('replaces', private.show_key(wanted));
end
$$;

-- With an account its memberships go, and its personal organization with the memberships of others.

create function private.hold_organizations_of_user()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  joined record;
begin
  for joined in
    select organization.id, organization.personal_user_id = old.id as is_personal
    from public.organizations organization
    join public.organization_members member on member.org_id = organization.id and member.user_id = old.id
    order by organization.id
  loop
    if joined.is_personal then
      perform private.hold_to_delete(joined.id);
    else
      perform private.hold_organization(joined.id);
    end if;
  end loop;
  return old;
end
$$;
comment on function private.hold_organizations_of_user() is
  'Holds the organizations of a user who is being deleted. Runs as its owner, because whoever deletes a user may not '
  'lock them.';
revoke all on function private.hold_organizations_of_user() from public;
create trigger hold_organizations_of_user before delete on auth.users
  for each row execute function private.hold_organizations_of_user();
