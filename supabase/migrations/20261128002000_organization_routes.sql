-- What the routes of organizations need besides: one organization, and that a thing is told by its organization too.

create function api.get_organization(payload jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
begin
  perform private.require_permission(org, 'organization:read');
  return private.show_organization(org);
end
$$;
comment on function api.get_organization(jsonb) is
  '{org_id?} -> {id, name, tier, personal, role, permissions, created_at}. PT404: the caller does not belong to it.';
revoke all on function api.get_organization(jsonb) from public;
grant execute on function api.get_organization(jsonb) to authenticated;

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
  delete from public.roles where id = wanted;
  if not found then
    raise sqlstate 'PT403' using message = 'the role has a permission that you do not have', detail = 'id';
  end if;
  return jsonb_build_object('id', wanted);
end
$$;
comment on function api.delete_role(jsonb) is
  '{id, org_id?} -> {id}: deletes a role that the organization made; whoever had it loses it. PT403 roles:write, or '
  'the role has a permission that the caller lacks; PT404: it does not exist, is built in, or is another '
  'organization''s.';

create or replace function api.revoke_invitation(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  named_org uuid := private.read_uuid(payload, 'org_id');
  revoked jsonb;
begin
  if named_org is not null then
    perform private.require_permission(named_org, 'members:write');
  end if;
  update public.organization_invitations
  set revoked_at = coalesce(revoked_at, now())
  where id = private.read_uuid(payload, 'id') and accepted_at is null and (named_org is null or org_id = named_org)
  returning jsonb_build_object('id', id, 'revoked_at', revoked_at) into revoked;
  if revoked is null then
    raise sqlstate 'PT404' using message = 'no such invitation', detail = 'id';
  end if;
  return revoked;
end
$$;
comment on function api.revoke_invitation(jsonb) is
  '{id, org_id?} -> {id, revoked_at}; again changes nothing. PT403 members:write, if org_id is given; PT404: it does '
  'not exist, was accepted, is another organization''s, or the caller may not invite there.';
