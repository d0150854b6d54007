-- API keys: the database knows a digest, never a key.

create table public.api_keys (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organizations (id) on delete cascade,
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  name text not null check (char_length(name) between 1 and 100),
  digest bytea not null unique check (octet_length(digest) = 32),
  pepper_version smallint not null check (pepper_version > 0),
  prefix text not null check (char_length(prefix) between 1 and 32),
  scopes text[] not null check (
    cardinality(scopes) between 1 and 20
    and scopes <@ '{llm,capsules:read,capsules:write,executions,usage:read,webhooks}'::text[]
  ),
  expires_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default now(),
  last_used_at timestamptz
);
comment on table public.api_keys is 'Keys that act for a user in an organization.';
comment on column public.api_keys.digest is 'HMAC-SHA-256 of the key under the pepper; never shown to anyone.';
comment on column public.api_keys.pepper_version is 'Which pepper made the digest.';
comment on column public.api_keys.prefix is 'The beginning of the key, so that its owner recognises it.';
comment on column public.api_keys.last_used_at is 'Accurate to five minutes.';
create index api_keys_user on public.api_keys (user_id, created_at);
create index api_keys_org on public.api_keys (org_id, created_at);

alter table public.api_keys enable row level security;
revoke all on table public.api_keys from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.api_keys to service_role;

grant select (
  id, org_id, user_id, name, pepper_version, prefix, scopes, expires_at, revoked_at, created_at, last_used_at
) on table public.api_keys to authenticated;
grant insert (org_id, name, digest, pepper_version, prefix, scopes, expires_at) on table public.api_keys to authenticated;
grant update (revoked_at) on table public.api_keys to authenticated;

create policy "own keys, and those of the organizations one runs, are visible" on public.api_keys
  for select to authenticated using (
    user_id = (select auth.uid())
    or org_id = any ((select private.orgs_with_role('{owner,admin}'))::uuid[])
  );
create policy "whoever may use an organization makes own keys for it" on public.api_keys
  for insert to authenticated with check (
    user_id = (select auth.uid())
    and org_id = any ((select private.orgs_with_role('{owner,admin,developer}'))::uuid[])
  );
-- The check leaves one change possible: a key that is revoked, stays so.
create policy "keys are revoked by their users and by those who run the organization" on public.api_keys
  for update to authenticated
  using (
    user_id = (select auth.uid())
    or org_id = any ((select private.orgs_with_role('{owner,admin}'))::uuid[])
  )
  with check (revoked_at is not null);

create function private.is_active_user(id uuid)
returns boolean
language sql
stable
security definer
set search_path = ''
as $$
  select exists (
    select from auth.users
    where users.id = is_active_user.id
      and users.deleted_at is null
      and (users.banned_until is null or users.banned_until <= now())
  )
$$;
comment on function private.is_active_user(uuid) is
  'Whether a user exists and is not banned. Runs as its owner, because the caller may not read auth.users.';
revoke all on function private.is_active_user(uuid) from public;
grant execute on function private.is_active_user(uuid) to service_role;
grant usage on schema private to service_role;

create function api.create_key(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  created uuid;
  org uuid := coalesce(payload ->> 'org_id', (select auth.jwt()) -> 'app_metadata' ->> 'org_id')::uuid;
  expiry timestamptz := (payload ->> 'expires_at')::timestamptz;
begin
  if expiry <= now() then
    raise sqlstate 'PT422' using message = 'expires_at is in the past', detail = 'expires_at';
  end if;
  insert into public.api_keys (org_id, name, digest, pepper_version, prefix, scopes, expires_at)
  values (
    org,
    payload ->> 'name',
    decode(payload ->> 'digest', 'hex'),
    (payload ->> 'pepper_version')::smallint,
    payload ->> 'prefix',
    array(select jsonb_array_elements_text(payload -> 'scopes')),
    expiry
  )
  returning id into created;
  return (
    select to_jsonb(shown) from (
      select id, org_id, user_id, name, prefix, scopes, expires_at, revoked_at, created_at, last_used_at
      from public.api_keys where id = created
    ) shown
  );
end
$$;
comment on function api.create_key(jsonb) is
  'Makes a key of the caller for the organization in the access token, or for org_id. PT422: expires_at is in the past.';

create function api.list_keys(payload jsonb default '{}')
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object('keys', coalesce(jsonb_agg(to_jsonb(shown) order by created_at desc, id), '[]'))
  from (
    select id, org_id, user_id, name, prefix, scopes, expires_at, revoked_at, created_at, last_used_at
    from public.api_keys
    order by created_at desc, id
    limit 1000
  ) shown
$$;
comment on function api.list_keys(jsonb) is 'The keys that the caller may see, the newest first, at most 1000.';

create function api.revoke_key(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  revoked jsonb;
begin
  update public.api_keys
  set revoked_at = coalesce(revoked_at, now())
  where id = (payload ->> 'id')::uuid
  returning jsonb_build_object('id', id, 'revoked_at', revoked_at) into revoked;
  if revoked is null then
    raise sqlstate 'PT404' using message = 'no such key';
  end if;
  return revoked;
end
$$;
comment on function api.revoke_key(jsonb) is
  'Revokes a key; revoking it again changes nothing. PT404: it does not exist, or is somebody else''s.';

create function api.authenticate_key(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  found jsonb;
  key_id uuid;
  used timestamptz;
begin
  select key.id, key.last_used_at, jsonb_build_object(
    'key_id', key.id,
    'user_id', key.user_id,
    'org_id', key.org_id,
    'roles', jsonb_build_array(member.role),
    'tier', organization.tier,
    'scopes', to_jsonb(key.scopes)
  )
  into key_id, used, found
  from public.api_keys key
  join public.organization_members member on member.org_id = key.org_id and member.user_id = key.user_id
  join public.organizations organization on organization.id = key.org_id
  where key.digest = decode(payload ->> 'digest', 'hex')
    and key.pepper_version = (payload ->> 'pepper_version')::smallint
    and key.revoked_at is null
    and (key.expires_at is null or key.expires_at > now())
    and private.is_active_user(key.user_id);

  -- Not on every call: a busy key would have one row rewritten all the time.
  if key_id is not null and (used is null or used < now() - interval '5 minutes') then
    update public.api_keys set last_used_at = now() where id = key_id;
  end if;
  return coalesce(found, '{}');
end
$$;
comment on function api.authenticate_key(jsonb) is
  'For whom a key acts, by its digest; {} if it is unknown, revoked or expired, or its user has left the organization.';

revoke all on function api.create_key(jsonb), api.list_keys(jsonb), api.revoke_key(jsonb), api.authenticate_key(jsonb)
  from public;
grant execute on function api.create_key(jsonb), api.list_keys(jsonb), api.revoke_key(jsonb) to authenticated;
grant execute on function api.authenticate_key(jsonb) to service_role;
