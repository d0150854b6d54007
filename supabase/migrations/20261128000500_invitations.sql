-- Invitations: how somebody becomes a member. The database knows the digest of a token, never the token.

create table public.organization_invitations (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organizations (id) on delete cascade,
  email text not null check (char_length(email) <= 320 and email = lower(email) and email ~ '^[^@\s]+@[^@\s]+$'),
  role text not null check (role in ('owner', 'admin', 'developer', 'viewer')),
  token_digest bytea not null unique check (octet_length(token_digest) = 32),
  invited_by uuid default auth.uid() references auth.users (id) on delete set null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '7 days',
  accepted_at timestamptz,
  accepted_by uuid references auth.users (id) on delete set null,
  revoked_at timestamptz
);
comment on table public.organization_invitations is 'Who may become a member of an organization, and as what.';
comment on column public.organization_invitations.email is
  'In lower case; only the user whose verified address this is can accept.';
comment on column public.organization_invitations.token_digest is
  'SHA-256 of the token in the e-mail; never shown to anyone.';
create unique index organization_invitations_open on public.organization_invitations (org_id, email)
  where accepted_at is null and revoked_at is null;
create index organization_invitations_org on public.organization_invitations (org_id, created_at);
create index organization_invitations_invited_by on public.organization_invitations (invited_by);
create index organization_invitations_accepted_by on public.organization_invitations (accepted_by);

alter table public.organization_invitations enable row level security;
revoke all on table public.organization_invitations from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.organization_invitations to service_role;

grant select (id, org_id, email, role, invited_by, created_at, expires_at, accepted_at, accepted_by, revoked_at)
  on table public.organization_invitations to authenticated;
grant insert (org_id, email, role, token_digest, expires_at) on table public.organization_invitations to authenticated;
grant update (revoked_at) on table public.organization_invitations to authenticated;
create policy "invitations are seen by those who may invite" on public.organization_invitations
  for select to authenticated using (org_id = any ((select private.orgs_with_permission('members:write'))::uuid[]));
create policy "whoever may invite does so within their own permissions" on public.organization_invitations
  for insert to authenticated with check (
    org_id = any ((select private.orgs_with_permission('members:write'))::uuid[])
    and private.covers_role(org_id, role)
    and expires_at <= now() + interval '30 days'
  );
-- The check leaves one change possible: an invitation that is revoked, stays so.
create policy "invitations are revoked by those who may invite" on public.organization_invitations
  for update to authenticated
  using (org_id = any ((select private.orgs_with_permission('members:write'))::uuid[]))
  with check (revoked_at is not null);

create function private.accept_invitation(digest bytea)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  invitation record;
begin
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
comment on function private.accept_invitation(bytea) is
  'Makes the caller a member by an invitation to their verified address, once. Runs as its owner, because no policy '
  'lets a user become a member of anything, and because it reads auth.users.';
revoke all on function private.accept_invitation(bytea) from public;
grant execute on function private.accept_invitation(bytea) to authenticated;

create function private.show_invitation(wanted uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(shown) from (
    select id, org_id, email, role, invited_by, created_at, expires_at, accepted_at, revoked_at
    from public.organization_invitations where id = wanted
  ) shown
$$;
comment on function private.show_invitation(uuid) is 'An invitation as the API shows it.';
revoke all on function private.show_invitation(uuid) from public;
grant execute on function private.show_invitation(uuid) to authenticated;

create function api.invite_member(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
  address text := lower(private.read_text(payload, 'email', 320));
  wanted text := payload ->> 'role';
  digest bytea := private.read_digest(payload, 'digest');
  life bigint := private.read_whole(payload, 'expires_in_seconds', 604800, 60, 2592000);
  made uuid;
begin
  perform private.require_permission(org, 'members:write');
  perform private.require_role(org, wanted);
  if address !~ '^[^@\s]+@[^@\s]+$' then
    raise sqlstate 'PT422' using message = 'email must be an e-mail address', detail = 'email';
  end if;
  -- One invitation per address: the new one takes the place of one that is open or has expired.
  update public.organization_invitations set revoked_at = now()
  where org_id = org and email = address and accepted_at is null and revoked_at is null;
  if (
    select count(*) from public.organization_invitations
    where org_id = org and accepted_at is null and revoked_at is null and expires_at > now()
  ) >= 200 then
    raise sqlstate 'PT409' using message = 'an organization has at most 200 open invitations', detail = 'org_id';
  end if;
  insert into public.organization_invitations (org_id, email, role, token_digest, expires_at)
  values (org, address, wanted, digest, now() + life * interval '1 second')
  returning id into made;
  return private.show_invitation(made);
exception when unique_violation then
  raise sqlstate 'PT409' using
    message = 'the digest serves another invitation, or somebody invites the address right now', detail = 'digest';
end
$$;
comment on function api.invite_member(jsonb) is
  '{org_id?, email, role, digest, expires_in_seconds? (7 days; 60 to 2592000)} -> {id, org_id, email, role, '
  'invited_by, created_at, expires_at, accepted_at, revoked_at}. digest: SHA-256 of the token, hexadecimal. An '
  'earlier invitation to the address is revoked. PT403 members:write, or a permission of the role that the caller '
  'lacks; PT409: 200 are open; PT404, PT422.';

create function api.list_invitations(payload jsonb default '{}')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
begin
  perform private.require_permission(org, 'members:write');
  return jsonb_build_object('invitations', (
    select coalesce(jsonb_agg(private.show_invitation(id) order by created_at desc, id), '[]')
    from public.organization_invitations
    where org_id = org and accepted_at is null and revoked_at is null and expires_at > now()
  ));
end
$$;
comment on function api.list_invitations(jsonb) is
  '{org_id?} -> {invitations: [as invite_member]}: those that can be accepted, the newest first. PT403 members:write; '
  'PT404.';

create function api.revoke_invitation(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  revoked jsonb;
begin
  update public.organization_invitations
  set revoked_at = coalesce(revoked_at, now())
  where id = private.read_uuid(payload, 'id') and accepted_at is null
  returning jsonb_build_object('id', id, 'revoked_at', revoked_at) into revoked;
  if revoked is null then
    raise sqlstate 'PT404' using message = 'no such invitation', detail = 'id';
  end if;
  return revoked;
end
$$;
comment on function api.revoke_invitation(jsonb) is
  '{id} -> {id, revoked_at}; again changes nothing. PT404: it does not exist, was accepted, or the caller may not '
  'invite there.';

create function api.accept_invitation(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  joined jsonb := private.accept_invitation(private.read_digest(payload, 'digest'));
begin
  return joined || jsonb_build_object(
    'name', (select name from public.organizations where id = (joined ->> 'org_id')::uuid)
  );
end
$$;
comment on function api.accept_invitation(jsonb) is
  '{digest} -> {org_id, name, role}. PT404: no such invitation, or it has expired, was revoked or used, or is for '
  'another address than the caller''s verified one; PT409: the caller is a member already; PT422.';

revoke all on function
  api.invite_member(jsonb), api.list_invitations(jsonb), api.revoke_invitation(jsonb), api.accept_invitation(jsonb)
  from public;
grant execute on function api.invite_member(jsonb), api.list_invitations(jsonb) to authenticated;
grant execute on function api.revoke_invitation(jsonb), api.accept_invitation(jsonb) to authenticated;
