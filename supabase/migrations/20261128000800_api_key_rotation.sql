-- API keys: bound to networks, rotated with an overlap, and their use noted off the request path.

alter table public.api_keys
  add column allowed_cidrs cidr[] not null default '{}' check (cardinality(allowed_cidrs) <= 20),
  add column replaced_by uuid references public.api_keys (id) on delete set null;
comment on column public.api_keys.allowed_cidrs is
  'Networks from which the key may be used; from everywhere if there is none.';
comment on column public.api_keys.replaced_by is 'The key that took its place by rotation.';
comment on column public.api_keys.last_used_at is 'Accurate to a minute.';
create index api_keys_replaced_by on public.api_keys (replaced_by);
grant select (allowed_cidrs, replaced_by), insert (allowed_cidrs) on table public.api_keys to authenticated;

create function private.show_key(wanted uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(shown) from (
    select
      id, org_id, user_id, name, prefix, scopes, allowed_cidrs, expires_at, revoked_at, replaced_by, created_at,
      last_used_at
    from public.api_keys where id = wanted
  ) shown
$$;
comment on function private.show_key(uuid) is 'A key as the API shows it.';

create function private.read_networks(payload jsonb, field text)
returns cidr[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  if payload -> field is null or payload -> field = 'null' then
    return '{}';
  end if;
  return array(select distinct jsonb_array_elements_text(private.read_items(payload, field, 20))::cidr order by 1);
exception when invalid_text_representation then
  raise sqlstate 'PT422' using
    message = format('%s must be networks such as 192.0.2.0/24 or 2001:db8::/32', field), detail = field;
end
$$;
comment on function private.read_networks(jsonb, text) is 'At most 20 networks; none if there are none.';

create function private.supersede_key(old_key uuid, new_key uuid, overlap interval)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.api_keys key
  set replaced_by = successor.id, expires_at = least(key.expires_at, now() + overlap)
  from public.api_keys successor
  where key.id = old_key and successor.id = new_key and key.id <> successor.id and key.replaced_by is null
    and key.user_id = auth.uid() and successor.user_id = key.user_id and successor.org_id = key.org_id
    and overlap between interval '0' and interval '7 days';
  if not found then
    raise sqlstate 'PT409' using message = 'the key has been rotated already', detail = 'id';
  end if;
end
$$;
comment on function private.supersede_key(uuid, uuid, interval) is
  'Ends a key of the caller''s in favour of another. Runs as its owner, because users may not write when a key ends.';

revoke all on function
  private.show_key(uuid), private.read_networks(jsonb, text), private.supersede_key(uuid, uuid, interval)
  from public;
grant execute on function
  private.show_key(uuid), private.read_networks(jsonb, text), private.supersede_key(uuid, uuid, interval)
  to authenticated;

create or replace function api.create_key(payload jsonb)
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
  'of the caller for the organization in the access token, or for org_id. 42501: the caller may not make keys there '
  '(keys:write); PT422: expires_at is in the past, or allowed_cidrs are no networks.';

create or replace function api.list_keys(payload jsonb default '{}')
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object('keys', coalesce(jsonb_agg(private.show_key(id) order by created_at desc, id), '[]'))
  from (select id, created_at from public.api_keys order by created_at desc, id limit 1000) listed
$$;
comment on function api.list_keys(jsonb) is
  '{} -> {keys: [as create_key]}: the keys that the caller may see, the newest first, at most 1000.';

create function api.rotate_key(payload jsonb)
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
comment on function api.rotate_key(jsonb) is
  '{id, digest, pepper_version, prefix, overlap_seconds? (86400; 0 to 604800), expires_at?} -> the successor as '
  'create_key, with replaces: the old key. The successor has the same name, scopes and networks, and unless told '
  'otherwise the same lifetime; the old key ends after the overlap or when it would have. PT404: no such key of the '
  'caller''s that works; PT403 keys:write; PT409: it has been rotated already; PT422.';

create or replace function api.authenticate_key(payload jsonb)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select coalesce((
    select jsonb_build_object(
      'key_id', key.id,
      'user_id', key.user_id,
      'org_id', key.org_id,
      'roles', jsonb_build_array(member.role) || (
        select coalesce(jsonb_agg(role.name order by role.name), '[]')
        from public.user_roles extra join public.roles role on role.id = extra.role_id
        where extra.org_id = key.org_id and extra.user_id = key.user_id and role.name <> member.role
      ),
      'tier', organization.tier,
      'scopes', to_jsonb(key.scopes),
      'allowed_cidrs', to_jsonb(key.allowed_cidrs),
      'expires_at', key.expires_at,
      'authz_epoch', coalesce(account.authz_epoch, 0)
    )
    from public.api_keys key
    join public.organization_members member on member.org_id = key.org_id and member.user_id = key.user_id
    join public.organizations organization on organization.id = key.org_id
    left join public.users account on account.id = key.user_id
    where key.digest = decode(payload ->> 'digest', 'hex')
      and key.pepper_version = (payload ->> 'pepper_version')::smallint
      and key.revoked_at is null
      and (key.expires_at is null or key.expires_at > now())
      and private.is_active_user(key.user_id)
  ), '{}')
$$;
comment on function api.authenticate_key(jsonb) is
  '{digest, pepper_version} -> {key_id, user_id, org_id, roles, tier, scopes, allowed_cidrs, expires_at, '
  'authz_epoch}: for whom a key acts; {} if it is unknown, revoked or expired, or its user is banned or has left the '
  'organization. Writes nothing; that the key was used is for touch_keys.';

create function api.touch_keys(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  touched integer;
begin
  with uses as (
    select use.id, least(max(use.at), now()) as at
    from jsonb_to_recordset(private.read_items(payload, 'keys', 1000)) as use (id uuid, at timestamptz)
    group by use.id
  ),
  due as (
    -- In one order, so that two batches do not wait for each other; a row is rewritten once a minute at most.
    select key.id, uses.at
    from public.api_keys key join uses on uses.id = key.id
    where key.last_used_at is null or uses.at >= key.last_used_at + interval '1 minute'
    order by key.id
    for no key update of key
  ),
  written as (
    update public.api_keys set last_used_at = due.at from due where api_keys.id = due.id returning 1
  )
  select count(*) into touched from written;
  return jsonb_build_object('touched', touched);
exception when data_exception then
  raise sqlstate 'PT422' using message = 'keys must be of the form {id, at}', detail = 'keys';
end
$$;
comment on function api.touch_keys(jsonb) is
  '{keys: [{id, at}]}, at most 1000 -> {touched: how many rows changed}: notes when keys were last used, each once a '
  'minute at most and never in the future; unknown ones are passed over. PT422.';

revoke all on function api.rotate_key(jsonb), api.touch_keys(jsonb) from public;
grant execute on function api.rotate_key(jsonb) to authenticated;
grant execute on function api.touch_keys(jsonb) to service_role;
