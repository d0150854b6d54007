-- Organizations through the API: made, listed, renamed and deleted by those who may.

grant delete on table public.organizations to authenticated;
create policy "shared organizations are deleted by their owners" on public.organizations
  for delete to authenticated using (
    id = any ((select private.orgs_with_permission('organization:delete'))::uuid[]) and personal_user_id is null
  );

create function private.found_organization(name text)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  founder uuid := auth.uid();
  founded uuid;
begin
  -- One at a time for each user, so that the limit holds.
  perform from public.users where id = founder for no key update;
  if not found or coalesce((auth.jwt() ->> 'is_anonymous')::boolean, false) then
    raise sqlstate 'PT403' using message = 'only users with an identity make organizations';
  end if;
  if (select count(*) from public.organization_members where user_id = founder and role = 'owner') >= 100 then
    raise sqlstate 'PT409' using message = 'a user owns at most 100 organizations';
  end if;
  insert into public.organizations (name) values (found_organization.name) returning id into founded;
  insert into public.organization_members (org_id, user_id, role) values (founded, founder, 'owner');
  return founded;
end
$$;
comment on function private.found_organization(text) is
  'Makes an organization with the caller as its owner. Runs as its owner, because no policy lets a user become a '
  'member of anything.';

create function private.show_organization(org uuid)
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
    'role', member.role,
    'permissions', to_jsonb(private.permissions_in(organization.id)),
    'created_at', organization.created_at
  )
  from public.organizations organization
  join public.organization_members member on member.org_id = organization.id and member.user_id = (select auth.uid())
  where organization.id = org
$$;
comment on function private.show_organization(uuid) is 'An organization as the API shows it to a member.';

revoke all on function private.found_organization(text), private.show_organization(uuid) from public;
grant execute on function private.found_organization(text), private.show_organization(uuid) to authenticated;

create function api.create_organization(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  founded uuid := private.found_organization(private.read_text(payload, 'name', 100));
begin
  return private.show_organization(founded);
end
$$;
comment on function api.create_organization(jsonb) is
  '{name} -> {id, name, tier, personal, role, permissions, created_at}: makes an organization that the caller owns. '
  'PT403: the caller is anonymous; PT409: a hundred are enough; PT422.';

create function api.list_organizations(payload jsonb default '{}')
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object('organizations', coalesce(
    jsonb_agg(private.show_organization(org_id) order by created_at, org_id), '[]'
  ))
  from (
    select org_id, created_at from public.organization_members
    where user_id = (select auth.uid()) order by created_at, org_id limit 1000
  ) joined
$$;
comment on function api.list_organizations(jsonb) is
  '{} -> {organizations: [{id, name, tier, personal, role, permissions, created_at}]}: those that the caller belongs '
  'to, in the order of joining, at most 1000.';

create function api.update_organization(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
  wanted text := private.read_text(payload, 'name', 100);
begin
  perform private.require_permission(org, 'organization:write');
  update public.organizations set name = wanted where id = org;
  return private.show_organization(org);
end
$$;
comment on function api.update_organization(jsonb) is
  '{org_id?, name} -> the organization, renamed. PT403 organization:write; PT404, PT422.';

create function api.delete_organization(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  -- Not the one in the token: what is deleted must be named.
  org uuid := private.read_uuid(payload, 'org_id');
begin
  perform private.require_permission(org, 'organization:delete');
  if exists (select from public.organizations where id = org and personal_user_id is not null) then
    raise sqlstate 'PT409' using message = 'a personal organization goes with the account', detail = 'org_id';
  end if;
  delete from public.organizations where id = org;
  return jsonb_build_object('id', org);
end
$$;
comment on function api.delete_organization(jsonb) is
  '{org_id} -> {id}: deletes an organization with all that hangs on it but the audit log and the usage. PT403 '
  'organization:delete (owners); PT409: it is personal; PT404.';

revoke all on function
  api.create_organization(jsonb), api.list_organizations(jsonb), api.update_organization(jsonb),
  api.delete_organization(jsonb)
  from public;
grant execute on function api.create_organization(jsonb), api.list_organizations(jsonb) to authenticated;
grant execute on function api.update_organization(jsonb), api.delete_organization(jsonb) to authenticated;
