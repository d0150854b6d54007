-- Members: their roles, and how they go.

-- Whoever holds every permission of a role may give and take it: admins do not touch owners, and make none.
grant update (role), delete on table public.organization_members to authenticated;
create policy "members get other roles within one's own permissions" on public.organization_members
  for update to authenticated
  using (
    org_id = any ((select private.orgs_with_permission('members:write'))::uuid[])
    and private.covers_role(org_id, role)
  )
  with check (private.covers_role(org_id, role));
create policy "members leave, and are removed within one's own permissions" on public.organization_members
  for delete to authenticated using (
    user_id = (select auth.uid())
    or org_id = any ((select private.orgs_with_permission('members:write'))::uuid[])
    and private.covers_role(org_id, role)
  );

create function private.keep_an_owner()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  personal_of uuid;
begin
  -- Two owners who go at once: the second waits here, then counts without the first.
  select personal_user_id into personal_of from public.organizations where id = old.org_id for no key update;
  -- The organization or the account goes as a whole.
  if found and exists (select from auth.users where id = old.user_id) then
    if personal_of = old.user_id then
      raise sqlstate 'PT409' using message = 'a personal organization keeps its owner', detail = 'user_id';
    end if;
    if not exists (
      select from public.organization_members
      where org_id = old.org_id and user_id <> old.user_id and role = 'owner'
    ) then
      raise sqlstate 'PT409' using message = 'the last owner stays', detail = 'user_id';
    end if;
  end if;
  return case tg_op when 'DELETE' then old else new end;
end
$$;
comment on function private.keep_an_owner() is
  'Refuses to let the last owner of an organization go or become anything else, whoever asks. Runs as its owner, '
  'because it locks the organization and reads auth.users.';
revoke all on function private.keep_an_owner() from public;
create trigger keep_an_owner_when_one_leaves before delete on public.organization_members
  for each row when (old.role = 'owner') execute function private.keep_an_owner();
create trigger keep_an_owner_when_one_changes before update on public.organization_members
  for each row when (
    old.role = 'owner' and (new.role, new.org_id, new.user_id) is distinct from (old.role, old.org_id, old.user_id)
  )
  execute function private.keep_an_owner();

create function private.members_of(org uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_permission(org, 'members:read');
  return (
    select jsonb_agg(shown order by joined_at, user_id) from (
      select member.user_id, member.created_at as joined_at, jsonb_build_object(
        'user_id', member.user_id,
        'email', account.email,
        'display_name', users.display_name,
        'role', member.role,
        'extra_roles', (
          select coalesce(jsonb_agg(jsonb_build_object('id', roles.id, 'name', roles.name) order by roles.name), '[]')
          from public.user_roles extra join public.roles on roles.id = extra.role_id
          where extra.org_id = member.org_id and extra.user_id = member.user_id
        ),
        'joined_at', member.created_at
      ) as shown
      from public.organization_members member
      join auth.users account on account.id = member.user_id
      left join public.users on users.id = member.user_id
      where member.org_id = org
      order by member.created_at, member.user_id
      limit 1000
    ) listed
  );
end
$$;
comment on function private.members_of(uuid) is
  'The members of an organization that the caller belongs to. Runs as its owner, because addresses are in auth.users.';

create function private.require_member(org uuid, member uuid)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  found text;
begin
  select role into found from public.organization_members where org_id = org and user_id = member;
  if found is null then
    raise sqlstate 'PT404' using message = 'no such member', detail = 'user_id';
  end if;
  return found;
end
$$;
comment on function private.require_member(uuid, uuid) is
  'The role of a member. PT404: there is none, or not for the caller.';

revoke all on function private.members_of(uuid), private.require_member(uuid, uuid) from public;
grant execute on function private.members_of(uuid), private.require_member(uuid, uuid) to authenticated;

create function api.list_members(payload jsonb default '{}')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return jsonb_build_object('members', private.members_of(private.read_org(payload)));
end
$$;
comment on function api.list_members(jsonb) is
  '{org_id?} -> {members: [{user_id, email, display_name, role, extra_roles: [{id, name}], joined_at}]}, at most '
  '1000. PT403 members:read; PT404.';

create function api.change_member_role(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
  member uuid := private.read_uuid(payload, 'user_id');
  wanted text := payload ->> 'role';
begin
  perform private.require_permission(org, 'members:write');
  perform private.require_role(org, private.require_member(org, member));
  perform private.require_role(org, wanted);
  update public.organization_members set role = wanted where org_id = org and user_id = member;
  -- Somebody was faster.
  if not found then
    raise sqlstate 'PT404' using message = 'no such member', detail = 'user_id';
  end if;
  return jsonb_build_object('org_id', org, 'user_id', member, 'role', wanted);
end
$$;
comment on function api.change_member_role(jsonb) is
  '{org_id?, user_id, role} -> {org_id, user_id, role}. PT403 members:write, or a permission of the old or the new '
  'role that the caller lacks; PT409: the member is the last owner, or the organization is theirs personally; PT404, '
  'PT422.';

create function api.remove_member(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
  member uuid := private.read_uuid(payload, 'user_id');
begin
  perform private.require_permission(org, 'members:write');
  perform private.require_role(org, private.require_member(org, member));
  delete from public.organization_members where org_id = org and user_id = member;
  -- Somebody was faster.
  if not found then
    raise sqlstate 'PT404' using message = 'no such member', detail = 'user_id';
  end if;
  return jsonb_build_object('org_id', org, 'user_id', member);
end
$$;
comment on function api.remove_member(jsonb) is
  '{org_id?, user_id} -> {org_id, user_id}. Keys of the member stop. PT403 members:write, or a permission of the '
  'member''s role that the caller lacks; PT409: the last owner, or the owner of a personal organization; PT404.';

create function api.leave_organization(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_uuid(payload, 'org_id');
begin
  perform private.require_permission(org, 'organization:read');
  delete from public.organization_members where org_id = org and user_id = (select auth.uid());
  if not found then
    raise sqlstate 'PT404' using message = 'no such organization', detail = 'org_id';
  end if;
  return jsonb_build_object('org_id', org);
end
$$;
comment on function api.leave_organization(jsonb) is
  '{org_id} -> {org_id}. PT409: the caller is the last owner, or it is the caller''s personal one; PT404.';

create function api.transfer_ownership(payload jsonb)
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
  update public.organization_members set role = 'owner' where org_id = org and user_id = successor;
  -- Somebody was faster.
  if not found then
    raise sqlstate 'PT404' using message = 'no such member', detail = 'user_id';
  end if;
  update public.organization_members set role = 'admin' where org_id = org and user_id = present_owner;
  return jsonb_build_object('org_id', org, 'owner_id', successor);
end
$$;
comment on function api.transfer_ownership(jsonb) is
  '{org_id, user_id} -> {org_id, owner_id}: a member becomes owner, and the caller, an owner, becomes admin. PT403: '
  'the caller is no owner; PT409: it is the caller''s personal organization; PT404, PT422.';

revoke all on function
  api.list_members(jsonb), api.change_member_role(jsonb), api.remove_member(jsonb), api.leave_organization(jsonb),
  api.transfer_ownership(jsonb)
  from public;
grant execute on function api.list_members(jsonb), api.change_member_role(jsonb) to authenticated;
grant execute on function api.remove_member(jsonb), api.leave_organization(jsonb) to authenticated;
grant execute on function api.transfer_ownership(jsonb) to authenticated;
