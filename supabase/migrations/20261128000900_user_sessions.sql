-- Cookie sessions of the edge. The cookie holds an opaque id, of which the database knows a digest; the tokens are
-- encrypted under a key that the database does not have.

create table public.user_sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  family uuid not null,
  digest bytea not null unique check (octet_length(digest) = 32),
  csrf_digest bytea not null check (octet_length(csrf_digest) = 32),
  tokens bytea not null check (octet_length(tokens) between 1 and 16384),
  version integer not null default 1,
  address inet,
  user_agent text check (char_length(user_agent) <= 500),
  created_at timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  expires_at timestamptz not null check (expires_at <= created_at + interval '400 days'),
  refreshing_until timestamptz,
  revoked_at timestamptz
);
comment on table public.user_sessions is 'Sessions of browsers that hold a cookie instead of tokens.';
comment on column public.user_sessions.family is
  'The same for a session and those that took its place: revoked together.';
comment on column public.user_sessions.digest is 'Of the opaque id in the cookie; never shown to anyone.';
comment on column public.user_sessions.csrf_digest is 'Of the token that unsafe requests carry in a header.';
comment on column public.user_sessions.tokens is 'Supabase Auth''s access and refresh token, encrypted by the edge.';
comment on column public.user_sessions.version is
  'Goes up with every replacement: of two tabs that refresh at once, one wins.';
comment on column public.user_sessions.refreshing_until is
  'Somebody is getting the next tokens; whoever comes meanwhile waits for them or uses the old ones.';
comment on column public.user_sessions.last_seen_at is 'When it was begun or refreshed last.';
comment on column public.user_sessions.address is 'From where it was begun or refreshed last.';
create index user_sessions_user on public.user_sessions (user_id, created_at);
create index user_sessions_family on public.user_sessions (family);

alter table public.user_sessions enable row level security;
revoke all on table public.user_sessions from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.user_sessions to service_role;

grant select (id, user_id, address, user_agent, created_at, last_seen_at, expires_at, revoked_at)
  on table public.user_sessions to authenticated;
grant update (revoked_at) on table public.user_sessions to authenticated;
create policy "own sessions are visible" on public.user_sessions
  for select to authenticated using (user_id = (select auth.uid()));
-- The check leaves one change possible: a session that is revoked, stays so.
create policy "own sessions are revoked" on public.user_sessions
  for update to authenticated using (user_id = (select auth.uid())) with check (revoked_at is not null);

create function private.read_encrypted(payload jsonb, field text)
returns bytea
language plpgsql
immutable
set search_path = ''
as $$
declare
  bytes bytea;
begin
  bytes := decode(payload ->> field, 'base64');
  if coalesce(octet_length(bytes), 0) not between 1 and 16384 then
    raise sqlstate 'PT422' using message = format('%s must have 1 to 16384 bytes', field), detail = field;
  end if;
  return bytes;
exception when data_exception then
  raise sqlstate 'PT422' using message = format('%s must be base64', field), detail = field;
end
$$;
comment on function private.read_encrypted(jsonb, text) is 'At most 16384 bytes in base64; they must be there.';

revoke all on function private.read_encrypted(jsonb, text) from public;
grant execute on function private.read_encrypted(jsonb, text) to service_role;

create function api.create_session(payload jsonb)
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
    (id, user_id, family, digest, csrf_digest, tokens, address, user_agent, expires_at)
  values (
    made,
    account,
    coalesce(private.read_uuid(payload, 'family'), made),
    private.read_digest(payload, 'digest'),
    private.read_digest(payload, 'csrf_digest'),
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
  '{user_id, digest, csrf_digest (hexadecimal), tokens (base64), expires_at, family?, address?, user_agent?} '
  '-> {id, family, version, expires_at}. Without a family it founds one. PT404: no such user, or banned; PT409: the '
  'digest is taken; PT422.';

create function api.find_session(payload jsonb)
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
      'csrf_digest', encode(session.csrf_digest, 'hex'),
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
  '{digest} -> {id, user_id, family, csrf_digest, tokens, version, created_at, last_seen_at, expires_at, '
  'authz_epoch}; {} if it is unknown, revoked or expired, or its user is banned. Writes nothing. PT422.';

create function api.claim_session_refresh(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  update public.user_sessions
  set refreshing_until = clock_timestamp() + private.read_whole(payload, 'seconds', 8, 1, 60) * interval '1 second'
  where id = private.read_uuid(payload, 'id')
    and version = private.read_whole(payload, 'version', null, 1, 2147483646)
    and revoked_at is null and coalesce(refreshing_until < clock_timestamp(), true);
  return jsonb_build_object('claimed', found);
end
$$;
comment on function api.claim_session_refresh(jsonb) is
  '{id, version, seconds? (8; 1 to 60)} -> {claimed}: true for one caller at a time, who then gets the next tokens: '
  'Supabase Auth takes a refresh token once. false: somebody else is at it, or was. PT422.';

create function api.replace_session(payload jsonb)
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
    csrf_digest = case
      when payload ? 'csrf_digest' then private.read_digest(payload, 'csrf_digest') else csrf_digest
    end,
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
  '{id, version, tokens, digest?, csrf_digest?, expires_at?, address?, user_agent?} -> {replaced, version}: '
  'compare and swap. false: somebody else replaced it since version was read; what they put there is found by '
  'find_session. PT404: unknown, revoked, expired, or its user is banned; PT409: the digest is taken; PT422.';

create function api.list_sessions(payload jsonb default '{}')
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object('sessions', coalesce(jsonb_agg(to_jsonb(shown) order by created_at desc, id), '[]'))
  from (
    select id, address, user_agent, created_at, last_seen_at, expires_at
    from public.user_sessions
    where user_id = (select auth.uid()) and revoked_at is null and expires_at > now()
    order by created_at desc, id
    limit 1000
  ) shown
$$;
comment on function api.list_sessions(jsonb) is
  '{} -> {sessions: [{id, address, user_agent, created_at, last_seen_at, expires_at}]}: the caller''s that have not '
  'ended, the newest first.';

create function api.revoke_session(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  revoked jsonb;
begin
  update public.user_sessions set revoked_at = coalesce(revoked_at, now())
  where id = private.read_uuid(payload, 'id')
  returning jsonb_build_object('id', id, 'revoked_at', revoked_at) into revoked;
  if revoked is null then
    raise sqlstate 'PT404' using message = 'no such session', detail = 'id';
  end if;
  return revoked;
end
$$;
comment on function api.revoke_session(jsonb) is
  '{id} -> {id, revoked_at}: users their own, the service any; again changes nothing. PT404, PT422.';

create function api.revoke_sessions(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  account uuid := private.read_uuid(payload, 'user_id');
  wanted_family uuid := private.read_uuid(payload, 'family');
  spared uuid := private.read_uuid(payload, 'except');
  ended integer;
begin
  if account is null then
    raise sqlstate 'PT422' using message = 'user_id is missing', detail = 'user_id';
  end if;
  update public.user_sessions set revoked_at = now()
  where user_id = account and revoked_at is null and id is distinct from spared
    and (wanted_family is null or family = wanted_family);
  get diagnostics ended = row_count;
  -- A family is one browser's; what the user may do elsewhere has not changed.
  if wanted_family is null then
    perform private.raise_authz_epoch(array[account]);
  end if;
  return jsonb_build_object(
    'revoked', ended,
    'authz_epoch', (select authz_epoch from public.users where id = account)
  );
end
$$;
comment on function api.revoke_sessions(jsonb) is
  '{user_id, family?, except?} -> {revoked: how many, authz_epoch}: ends all sessions of a user but the one with the '
  'id `except`, and makes all access tokens of the user stale; with a family ends that family alone, and leaves the '
  'epoch. PT422.';

revoke all on function
  api.create_session(jsonb), api.find_session(jsonb), api.claim_session_refresh(jsonb), api.replace_session(jsonb),
  api.list_sessions(jsonb),
  api.revoke_session(jsonb), api.revoke_sessions(jsonb)
  from public;
grant execute on function api.create_session(jsonb), api.find_session(jsonb) to service_role;
grant execute on function api.replace_session(jsonb), api.claim_session_refresh(jsonb) to service_role;
grant execute on function api.list_sessions(jsonb) to authenticated;
grant execute on function api.revoke_session(jsonb) to authenticated, service_role;
grant execute on function api.revoke_sessions(jsonb) to service_role;
