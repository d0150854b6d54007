-- What an API key may ask of a language model: of which models, at which endpoints, for how long an answer; and whether
-- its calls use the cache of answers unless they say so themselves.

alter table public.api_keys
  add column allowed_models text[] not null default '{}' check (
    cardinality(allowed_models) <= 50 and array_position(allowed_models, null) is null
    and octet_length(array_to_string(allowed_models, ' ')) <= 2000
  ),
  add column allowed_endpoints text[] not null default '{}' check (
    allowed_endpoints <@ '{/v1/chat/completions,/v1/embeddings,/v1/messages,/v1/responses}'::text[]
    and cardinality(allowed_endpoints) <= 4
  ),
  add column max_output_tokens integer check (max_output_tokens > 0),
  add column cache text not null default 'off' check (cache in ('off', 'read', 'read-write'));
comment on column public.api_keys.allowed_models is 'The model aliases that the key may use; all if there is none.';
comment on column public.api_keys.allowed_endpoints is
  'The paths of the endpoints of language models that the key may use; all if there is none.';
comment on column public.api_keys.max_output_tokens is
  'How long an answer may become at most, in tokens; as long as the model can if null.';
comment on column public.api_keys.cache is
  'Whether calls use the cache of answers that do not say it themselves: off, read or read-write.';
grant select (allowed_models, allowed_endpoints, max_output_tokens, cache),
  insert (allowed_models, allowed_endpoints, max_output_tokens, cache)
  on table public.api_keys to authenticated;

create or replace function private.show_key(wanted uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(shown) from (
    select
      id, org_id, user_id, name, prefix, scopes, allowed_cidrs, allowed_models, allowed_endpoints, max_output_tokens,
      cache, expires_at, revoked_at, replaced_by, created_at, last_used_at
    from public.api_keys where id = wanted
  ) shown
$$;

create function private.read_words(payload jsonb, field text, most integer, form text)
returns text[]
language plpgsql
immutable
set search_path = ''
as $$
declare
  item jsonb;
begin
  if payload -> field is null or payload -> field = 'null' then
    return '{}';
  end if;
  for item in select jsonb_array_elements(private.read_items(payload, field, most)) loop
    if jsonb_typeof(item) <> 'string' or item #>> '{}' !~ form then
      raise sqlstate 'PT422' using message = format('%s has a value that is not allowed', field), detail = field;
    end if;
  end loop;
  return array(select distinct jsonb_array_elements_text(payload -> field) order by 1);
end
$$;
comment on function private.read_words(jsonb, text, integer, text) is
  'Words of a form (a regular expression), each once; none if there are none.';
revoke all on function private.read_words(jsonb, text, integer, text) from public;
grant execute on function private.read_words(jsonb, text, integer, text) to authenticated;

create function private.read_models(payload jsonb)
returns text[]
language plpgsql
immutable
set search_path = ''
as $$
declare
  models text[] := private.read_words(payload, 'allowed_models', 50, '^[^[:cntrl:]]{1,100}$');
begin
  if octet_length(array_to_string(models, ' ')) > 2000 then
    raise sqlstate 'PT422' using message = 'allowed_models may have 2000 bytes in all', detail = 'allowed_models';
  end if;
  return models;
end
$$;
comment on function private.read_models(jsonb) is 'allowed_models: at most 50 aliases.';

create function private.read_endpoints(payload jsonb)
returns text[]
language sql
immutable
set search_path = ''
as $$
  select private.read_words(payload, 'allowed_endpoints', 4, '^/v1/(chat/completions|embeddings|messages|responses)$')
$$;
comment on function private.read_endpoints(jsonb) is 'allowed_endpoints: the paths of endpoints of language models.';

create function private.read_output_limit(payload jsonb)
returns integer
language sql
immutable
set search_path = ''
as $$
  select private.read_whole(payload, 'max_output_tokens', null, 1, 2147483647)::integer
  where payload ->> 'max_output_tokens' is not null
$$;
comment on function private.read_output_limit(jsonb) is 'max_output_tokens; null if there is none.';

create function private.read_cache_mode(payload jsonb)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  if coalesce(payload ->> 'cache', 'off') not in ('off', 'read', 'read-write') then
    raise sqlstate 'PT422' using message = 'cache must be off, read or read-write', detail = 'cache';
  end if;
  return coalesce(payload ->> 'cache', 'off');
end
$$;
comment on function private.read_cache_mode(jsonb) is 'cache; off if there is none.';
revoke all on function
  private.read_models(jsonb), private.read_endpoints(jsonb), private.read_output_limit(jsonb),
  private.read_cache_mode(jsonb)
  from public;
grant execute on function
  private.read_models(jsonb), private.read_endpoints(jsonb), private.read_output_limit(jsonb),
  private.read_cache_mode(jsonb)
  to authenticated;

create or replace function api.create_key(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  created uuid;
  org uuid := private.read_org(payload);
  expiry timestamptz := (payload ->> 'expires_at')::timestamptz;
begin
  perform private.require_permission(org, 'keys:write');
  if expiry <= now() then
    raise sqlstate 'PT422' using message = 'expires_at is in the past', detail = 'expires_at';
  end if;
  insert into public.api_keys (
    org_id, name, digest, pepper_version, prefix, scopes, allowed_cidrs, allowed_models, allowed_endpoints,
    max_output_tokens, cache, expires_at
  )
  values (
    org,
    payload ->> 'name',
    decode(payload ->> 'digest', 'hex'),
    (payload ->> 'pepper_version')::smallint,
    payload ->> 'prefix',
    array(select jsonb_array_elements_text(payload -> 'scopes')),
    private.read_networks(payload, 'allowed_cidrs'),
    private.read_models(payload),
    private.read_endpoints(payload),
    private.read_output_limit(payload),
    private.read_cache_mode(payload),
    expiry
  )
  returning id into created;
  return private.show_key(created);
end
$$;
comment on function api.create_key(jsonb) is
  '{org_id?, name, digest, pepper_version, prefix, scopes, allowed_cidrs?, allowed_models?, allowed_endpoints?, '
  'max_output_tokens?, cache?, expires_at?} -> {id, org_id, user_id, name, prefix, scopes, allowed_cidrs, '
  'allowed_models, allowed_endpoints, max_output_tokens, cache, expires_at, revoked_at, replaced_by, created_at, '
  'last_used_at}: makes a key of the caller for the organization in the access token, or for org_id. PT403 keys:write; '
  'PT422: expires_at is in the past, or one of the rules is of another form; PT404.';

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
  select
    id, org_id, name, scopes, allowed_cidrs, allowed_models, allowed_endpoints, max_output_tokens, cache,
    created_at, expires_at, replaced_by
  into present
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
  insert into public.api_keys (
    org_id, name, digest, pepper_version, prefix, scopes, allowed_cidrs, allowed_models, allowed_endpoints,
    max_output_tokens, cache, expires_at
  )
  values (
    present.org_id, present.name, digest, version, prefix, present.scopes, present.allowed_cidrs,
    present.allowed_models, present.allowed_endpoints, present.max_output_tokens, present.cache,
    coalesce(expiry, now() + (present.expires_at - present.created_at))
  )
  returning id into successor;
  perform private.supersede_key(wanted, successor, overlap * interval '1 second');
  return private.show_key(successor) || jsonb_build_object('replaces', private.show_key(wanted));
end
$$;
comment on function api.rotate_key(jsonb) is
  '{id, digest, pepper_version, prefix, overlap_seconds? (86400; 0 to 604800), expires_at?} -> the successor as '
  'create_key, with replaces: the old key. The successor has the same name, scopes, networks and rules, and unless told '
  'otherwise the same lifetime; the old key ends after the overlap or when it would have. PT404: no such key of the '
  'caller''s that works; PT403 keys:write; PT409: it has been rotated already; PT422.';

create function private.set_key_rules(wanted uuid, rules jsonb)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.api_keys key
  set
    name = case when rules ? 'name' then private.read_text(rules, 'name', 100) else name end,
    allowed_models = case
      when rules ? 'allowed_models' then private.read_models(rules) else allowed_models
    end,
    allowed_endpoints = case
      when rules ? 'allowed_endpoints' then private.read_endpoints(rules) else allowed_endpoints
    end,
    max_output_tokens = case
      when rules ? 'max_output_tokens' then private.read_output_limit(rules) else max_output_tokens
    end,
    cache = case when rules ? 'cache' then private.read_cache_mode(rules) else cache end
  where key.id = wanted and key.revoked_at is null and (
    key.user_id = auth.uid() or key.org_id = any (private.orgs_with_permission('keys:manage'))
  );
  if not found then
    raise sqlstate 'PT404' using message = 'no such key', detail = 'id';
  end if;
end
$$;
comment on function private.set_key_rules(uuid, jsonb) is
  'Changes the rules of a key that the caller may change. Runs as its owner, because users may change nothing else of '
  'a key than that it is revoked. PT404, PT422.';
revoke all on function private.set_key_rules(uuid, jsonb) from public;
grant execute on function private.set_key_rules(uuid, jsonb) to authenticated;

create function api.update_key(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  wanted uuid := private.read_uuid(payload, 'id');
  present record;
begin
  select org_id, user_id into present from public.api_keys where id = wanted and revoked_at is null;
  if not found then
    raise sqlstate 'PT404' using message = 'no such key', detail = 'id';
  end if;
  perform private.require_permission(
    present.org_id, case when present.user_id = (select auth.uid()) then 'keys:write' else 'keys:manage' end
  );
  perform private.set_key_rules(wanted, payload);
  return private.show_key(wanted);
end
$$;
comment on function api.update_key(jsonb) is
  '{id, name?, allowed_models?, allowed_endpoints?, max_output_tokens?, cache?} -> the key as create_key: changes what '
  'is there; null or [] takes a rule away. PT404: no such key that the caller may see, or it is revoked; PT403 keys:write '
  'for an own key, keys:manage for another''s; PT422.';
revoke all on function api.update_key(jsonb) from public;
grant execute on function api.update_key(jsonb) to authenticated;

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
      'llm', jsonb_build_object(
        'allowed_models', to_jsonb(key.allowed_models),
        'allowed_endpoints', to_jsonb(key.allowed_endpoints),
        'max_output_tokens', key.max_output_tokens,
        'cache', key.cache
      ),
      'logs_prompts', organization.prompt_log_days is not null,
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
  'tier, scopes, allowed_cidrs, llm: {allowed_models, allowed_endpoints, max_output_tokens, cache}, '
  'logs_prompts, expires_at, pepper_version, authz_epoch}: for whom a key acts, and what it may ask of a language model; {} if it is unknown, '
  'revoked or expired, or its user is banned or has left the organization. Writes nothing; that the key was used is '
  'for touch_keys. PT422.';

drop trigger audit_change on public.api_keys;
create trigger audit_change after insert or update or delete on public.api_keys
  for each row execute function private.audit_change(
    'key', 'user_id', 'name', 'prefix', 'scopes', 'allowed_cidrs', 'allowed_models', 'allowed_endpoints',
    'max_output_tokens', 'cache', 'expires_at', 'revoked_at', 'replaced_by'
  );
