-- Tokens that the edge issues in exchange for an API key act as the key's user. So they must not be able to make what
-- outlives them, or to reach beyond the key: other keys, memberships, organizations.

create function private.refuse_exchanged_token()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- Not auth.jwt(): whoever writes here need not be allowed to call it.
  if nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'exchanged' = 'true' then
    raise sqlstate 'PT403' using message = 'this needs the user''s own access token';
  end if;
  return coalesce(new, old);
end
$$;
comment on function private.refuse_exchanged_token() is
  'For tables that only a signed-in user changes: refuses tokens that were exchanged for an API key or another token.';
revoke all on function private.refuse_exchanged_token() from public;

create trigger refuse_exchanged_token before insert or update or delete on public.api_keys
for each row execute function private.refuse_exchanged_token();
create trigger refuse_exchanged_token before insert or update or delete on public.organizations
for each row execute function private.refuse_exchanged_token();
create trigger refuse_exchanged_token before insert or update or delete on public.organization_members
for each row execute function private.refuse_exchanged_token();

-- The same as before, and when the key ends: what is issued for a key must not outlive it.
create or replace function api.authenticate_key(payload jsonb)
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
    'scopes', to_jsonb(key.scopes),
    'expires_at', key.expires_at
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
