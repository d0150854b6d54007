-- The token against forged requests follows from the session's id and the edge's own key: the database needs none of it.

alter table public.user_sessions drop column csrf_digest;

create or replace function api.create_session(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  made uuid := gen_random_uuid();
  account uuid := private.read_uuid(payload, 'user_id');
  expiry timestamptz := private.read_time(payload, 'expires_at');
begin
  if account is null or not private.is_active_user(account) then
    raise sqlstate 'PT404' using message = 'no such user', detail = 'user_id';
  end if;
  if expiry is null or expiry <= now() or expiry > now() + interval '400 days' then
    raise sqlstate 'PT422' using message = 'expires_at must be within 400 days', detail = 'expires_at';
  end if;
  -- Whoever adds one clears away what ended long ago, so that they do not accumulate.
  delete from public.user_sessions
  where user_id = account and least(expires_at, revoked_at) < now() - interval '30 days';
  insert into public.user_sessions
    (id, user_id, family, digest, tokens, address, user_agent, expires_at)
  values (
    made,
    account,
    coalesce(private.read_uuid(payload, 'family'), made),
    private.read_digest(payload, 'digest'),
    private.read_encrypted(payload, 'tokens'),
    private.read_address(payload, 'address'),
    left(payload ->> 'user_agent', 500),
    expiry
  );
  return (
    select jsonb_build_object('id', id, 'family', family, 'version', version, 'expires_at', expires_at)
    from public.user_sessions where id = made
  );
exception when unique_violation then
  raise sqlstate 'PT409' using message = 'the digest serves another session', detail = 'digest';
end
$$;
comment on function api.create_session(jsonb) is
  '{user_id, digest (hexadecimal), tokens (base64), expires_at, family?, address?, user_agent?} '
  '-> {id, family, version, expires_at}. Without a family it founds one. PT404: no such user, or banned; PT409: the '
  'digest is taken; PT422.';

create or replace function api.find_session(payload jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  wanted bytea := private.read_digest(payload, 'digest');
begin
  return coalesce((
    select jsonb_build_object(
      'id', session.id,
      'user_id', session.user_id,
      'family', session.family,
      'tokens', translate(encode(session.tokens, 'base64'), E'\n', ''),
      'version', session.version,
      'created_at', session.created_at,
      'last_seen_at', session.last_seen_at,
      'expires_at', session.expires_at,
      'authz_epoch', coalesce(account.authz_epoch, 0)
    )
    from public.user_sessions session left join public.users account on account.id = session.user_id
    where session.digest = wanted and session.revoked_at is null and session.expires_at > now()
      and private.is_active_user(session.user_id)
  ), '{}');
end
$$;
comment on function api.find_session(jsonb) is
  '{digest} -> {id, user_id, family, tokens, version, created_at, last_seen_at, expires_at, '
  'authz_epoch}; {} if it is unknown, revoked or expired, or its user is banned. Writes nothing. PT422.';

create or replace function api.replace_session(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  wanted uuid := private.read_uuid(payload, 'id');
  known bigint := private.read_whole(payload, 'version', null, 1, 2147483646);
  expiry timestamptz := private.read_time(payload, 'expires_at');
  present public.user_sessions;
begin
  select * into present from public.user_sessions
  where id = wanted and revoked_at is null and expires_at > now() and private.is_active_user(user_id)
  for no key update;
  if not found then
    raise sqlstate 'PT404' using message = 'no such session', detail = 'id';
  end if;
  if present.version <> known then
    return jsonb_build_object('replaced', false, 'version', present.version);
  end if;
  if expiry <= now() or expiry > present.created_at + interval '400 days' then
    raise sqlstate 'PT422' using message = 'expires_at must be within 400 days of the beginning', detail = 'expires_at';
  end if;
  update public.user_sessions set
    version = version + 1,
    refreshing_until = null,
    tokens = private.read_encrypted(payload, 'tokens'),
    digest = case when payload ? 'digest' then private.read_digest(payload, 'digest') else digest end,
    address = coalesce(private.read_address(payload, 'address'), address),
    user_agent = coalesce(left(payload ->> 'user_agent', 500), user_agent),
    expires_at = coalesce(expiry, expires_at),
    last_seen_at = now()
  where id = wanted;
  return jsonb_build_object('replaced', true, 'version', present.version + 1);
exception when unique_violation then
  raise sqlstate 'PT409' using message = 'the digest serves another session', detail = 'digest';
end
$$;
comment on function api.replace_session(jsonb) is
  '{id, version, tokens, digest?, expires_at?, address?, user_agent?} -> {replaced, version}: '
  'compare and swap. false: somebody else replaced it since version was read; what they put there is found by '
  'find_session. PT404: unknown, revoked, expired, or its user is banned; PT409: the digest is taken; PT422.';
