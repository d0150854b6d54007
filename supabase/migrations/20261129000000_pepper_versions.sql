-- Several peppers: an edge asks for a key under each that it has, and stores it under the current one from then on.

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
      'pepper_version', key.pepper_version,
      'authz_epoch', coalesce(account.authz_epoch, 0)
    )
    -- An edge of before knows one pepper, and says so without a list.
    from jsonb_array_elements(case
      when payload ? 'digests' then private.read_items(payload, 'digests', 3) else jsonb_build_array(payload)
    end) asked
    join public.api_keys key
      on key.digest = decode(asked ->> 'digest', 'hex') and key.pepper_version = (asked ->> 'pepper_version')::smallint
    join public.organization_members member on member.org_id = key.org_id and member.user_id = key.user_id
    join public.organizations organization on organization.id = key.org_id
    left join public.users account on account.id = key.user_id
    where key.revoked_at is null
      and (key.expires_at is null or key.expires_at > now())
      and private.is_active_user(key.user_id)
    limit 1
  ), '{}')
$$;
comment on function api.authenticate_key(jsonb) is
  '{digests: [{digest, pepper_version}]}, one key under at most three peppers, or one of these -> {key_id, user_id, org_id, roles, '
  'tier, scopes, allowed_cidrs, expires_at, pepper_version, authz_epoch}: for whom a key acts; {} if it is unknown, '
  'revoked or expired, or its user is banned or has left the organization. Writes nothing; that the key was used is '
  'for touch_keys. PT422.';

create or replace function api.touch_keys(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  listed jsonb := private.read_items(payload, 'keys', 1000);
  touched integer;
begin
  if exists (
    select from jsonb_to_recordset(listed) as use (digest text, pepper_version smallint)
    where num_nulls(use.digest, use.pepper_version) = 1
  ) then
    raise sqlstate 'PT422' using message = 'digest and pepper_version go together', detail = 'keys';
  end if;
  with uses as (
    select distinct on (use.id)
      use.id,
      least(max(use.at) over (partition by use.id), now()) as at,
      decode(use.digest, 'hex') as digest,
      use.pepper_version
    from jsonb_to_recordset(listed) as use (id uuid, at timestamptz, digest text, pepper_version smallint)
    order by use.id, use.digest is null, use.at desc
  ),
  due as (
    -- In one order, so that two batches do not wait for each other; a row is rewritten once a minute at most, and
    -- besides when its pepper changes.
    select
      key.id,
      greatest(uses.at, key.last_used_at) as at,
      coalesce(uses.digest, key.digest) as digest,
      coalesce(uses.pepper_version, key.pepper_version) as pepper_version
    from public.api_keys key join uses on uses.id = key.id
    where key.last_used_at is null
      or uses.at >= key.last_used_at + interval '1 minute'
      or uses.pepper_version <> key.pepper_version
    order by key.id
    for no key update of key
  ),
  written as (
    update public.api_keys set last_used_at = due.at, digest = due.digest, pepper_version = due.pepper_version
    from due where api_keys.id = due.id
    returning 1
  )
  select count(*) into touched from written;
  return jsonb_build_object('touched', touched);
exception when data_exception or check_violation or unique_violation then
  raise sqlstate 'PT422' using message = 'keys must be of the form {id, at, digest?, pepper_version?}', detail = 'keys';
end
$$;
comment on function api.touch_keys(jsonb) is
  '{keys: [{id, at, digest?, pepper_version?}]}, at most 1000 -> {touched: how many rows changed}: notes when keys '
  'were last used, each once a minute at most and never in the future, and stores those that come with a digest under '
  'that pepper from now on; unknown ones are passed over. PT422.';
