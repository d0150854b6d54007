-- The audit log: rows are added and never changed, and each is chained to the one before it.
--
-- An entry is a text: PostgreSQL's form of a jsonb object, whose members stand in one order with `": "` and `", "`
-- between them. What is hashed is this text, byte for byte, so that a verifier needs no JSON:
--
--   hash = SHA-256(prev_hash || entry in UTF-8), prev_hash = the hash of seq - 1, or 32 zero bytes before seq 1
--
-- The other columns are read from the entry and cannot say anything else. Each organization has a chain of its own;
-- events of none, such as a sign-in to an unknown account, are in the chain of the organization zero.

create table public.audit_logs (
  entry text not null check (octet_length(entry) <= 32768),
  prev_hash bytea not null check (octet_length(prev_hash) = 32),
  hash bytea not null,
  occurred_at timestamptz not null,
  id uuid not null generated always as ((entry::jsonb ->> 'id')::uuid) stored unique,
  org_id uuid not null generated always as ((entry::jsonb ->> 'org_id')::uuid) stored,
  seq bigint not null generated always as ((entry::jsonb ->> 'seq')::bigint) stored,
  actor_id uuid generated always as ((entry::jsonb ->> 'actor_id')::uuid) stored,
  action text not null generated always as (entry::jsonb ->> 'action') stored
    check (action ~ '^[a-z][a-z_]*(\.[a-z_]+)+$' and char_length(action) <= 100),
  primary key (org_id, seq),
  constraint audit_logs_canonical check (entry = (entry::jsonb)::text),
  constraint audit_logs_hash check (hash = sha256(prev_hash || convert_to(entry, 'UTF8'))),
  constraint audit_logs_occurred_at check (
    entry::jsonb ->> 'occurred_at' = to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
  )
);
comment on table public.audit_logs is
  'Who did what: append-only, hash-chained per organization. It refers to nothing, so that it outlives what it tells '
  'of.';
comment on column public.audit_logs.entry is
  'What is hashed: id, org_id, seq, occurred_at, actor_kind, action, outcome, and if known actor_id, target_id, '
  'address, user_agent, request_id, details.';
comment on column public.audit_logs.prev_hash is 'The hash of the entry before; zeros for the first.';
comment on column public.audit_logs.hash is 'SHA-256 of prev_hash and entry.';
comment on column public.audit_logs.org_id is 'All zeros if it happened in none: only the service reads those.';
comment on column public.audit_logs.seq is 'Counts from 1 within the organization, without gaps.';
create index audit_logs_actor on public.audit_logs (org_id, actor_id, seq);
create index audit_logs_action on public.audit_logs (org_id, action, seq);

create table private.audit_heads (
  org_id uuid primary key,
  seq bigint not null default 0,
  hash bytea not null default decode(repeat('00', 32), 'hex')
);
comment on table private.audit_heads is
  'The end of each chain: whoever adds an entry locks it, and a chain that lost its last entries is told by it.';

alter table public.audit_logs enable row level security;
alter table private.audit_heads enable row level security;
revoke all on table public.audit_logs, private.audit_heads from public, anon, authenticated, service_role;
grant select on table public.audit_logs, private.audit_heads to service_role;
grant select on table public.audit_logs to authenticated;
create policy "the log is read by those who may" on public.audit_logs
  for select to authenticated using (org_id = any ((select private.orgs_with_permission('audit:read'))::uuid[]));

create function private.refuse_change()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT403' using message = 'the audit log is append-only';
end
$$;
comment on function private.refuse_change() is 'Refuses whatever the trigger is for, to the owner of the table too.';
revoke all on function private.refuse_change() from public;
create trigger refuse_change before update or delete or truncate on public.audit_logs
  for each statement execute function private.refuse_change();

create function private.append_audit(org uuid, event jsonb)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
  head private.audit_heads;
  at timestamptz := coalesce((event ->> 'occurred_at')::timestamptz, clock_timestamp());
  line text;
  line_hash bytea;
begin
  insert into private.audit_heads (org_id) values (org) on conflict do nothing;
  select * into head from private.audit_heads where org_id = org for update;
  if exists (select from public.audit_logs where id = (event ->> 'id')::uuid) then
    return false;
  end if;
  line := (jsonb_strip_nulls(event - 'details') || jsonb_build_object(
    'org_id', org,
    'seq', head.seq + 1,
    'occurred_at', to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'details', coalesce(event -> 'details', '{}')
  ))::text;
  line_hash := sha256(head.hash || convert_to(line, 'UTF8'));
  insert into public.audit_logs (entry, prev_hash, hash, occurred_at) values (line, head.hash, line_hash, at);
  update private.audit_heads set seq = head.seq + 1, hash = line_hash where org_id = org;
  return true;
end
$$;
comment on function private.append_audit(uuid, jsonb) is
  'Adds an entry to the chain of an organization, unless its id is there already; returns whether it did. Runs as its '
  'owner, because nobody may write the log.';
revoke all on function private.append_audit(uuid, jsonb) from public;
grant execute on function private.append_audit(uuid, jsonb) to service_role;

create function private.audit_event(event jsonb, index bigint)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  place text := format('events/%s/', index);
begin
  if coalesce(event ->> 'action', '') !~ '^[a-z][a-z_]*(\.[a-z_]+)+$' or char_length(event ->> 'action') > 100 then
    raise sqlstate 'PT422' using message = 'action must be words such as session.failed', detail = place || 'action';
  end if;
  if coalesce(event ->> 'actor_kind', 'service') not in ('user', 'key', 'service', 'system') then
    raise sqlstate 'PT422' using
      message = 'actor_kind must be user, key, service or system', detail = place || 'actor_kind';
  end if;
  if coalesce(event ->> 'outcome', 'success') not in ('success', 'failure', 'denied') then
    raise sqlstate 'PT422' using message = 'outcome must be success, failure or denied', detail = place || 'outcome';
  end if;
  if jsonb_typeof(coalesce(event -> 'details', '{}')) <> 'object' or octet_length(event ->> 'details') > 8192 then
    raise sqlstate 'PT422' using message = 'details must be an object of at most 8 KiB', detail = place || 'details';
  end if;
  if private.read_uuid(event, 'id') is null then
    raise sqlstate 'PT422' using message = 'id must be a UUID', detail = place || 'id';
  end if;
  return jsonb_build_object(
    'id', private.read_uuid(event, 'id'),
    'occurred_at', private.read_time(event, 'occurred_at'),
    'actor_id', private.read_uuid(event, 'actor_id'),
    'actor_kind', coalesce(event ->> 'actor_kind', 'service'),
    'action', event ->> 'action',
    'outcome', coalesce(event ->> 'outcome', 'success'),
    'target_id', left(event ->> 'target_id', 200),
    'address', host(private.read_address(event, 'address')),
    'user_agent', left(event ->> 'user_agent', 500),
    'request_id', left(event ->> 'request_id', 200),
    'details', coalesce(event -> 'details', '{}')
  );
end
$$;
comment on function private.audit_event(jsonb, bigint) is
  'An event of a payload, checked and within bounds. PT422 names its place.';
revoke all on function private.audit_event(jsonb, bigint) from public;
grant execute on function private.audit_event(jsonb, bigint) to service_role;

-- The API

create function api.record_audit(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  listed jsonb := private.read_items(payload, 'events', 100);
  event record;
  recorded integer := 0;
begin
  -- Chains in one order, so that two batches do not wait for each other; events of a chain in theirs.
  for event in
    select
      coalesce(private.read_uuid(value, 'org_id'), nobody) as org,
      private.audit_event(value, ordinality - 1) as checked
    from jsonb_array_elements(listed) with ordinality
    order by org, ordinality
  loop
    recorded := recorded + private.append_audit(event.org, event.checked)::integer;
  end loop;
  return jsonb_build_object('recorded', recorded);
end
$$;
comment on function api.record_audit(jsonb) is
  '{events: [{id, action, org_id?, actor_id?, actor_kind? (user|key|service|system), outcome? '
  '(success|failure|denied), target_id?, address?, user_agent?, request_id?, details? (object, 8 KiB), '
  'occurred_at?}]}, at most 100 -> {recorded: how many were new}. An event whose id is there already is left alone; '
  'all are recorded or none. PT422.';

create function api.list_audit(payload jsonb default '{}')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
  most bigint := private.read_whole(payload, 'limit', 50, 1, 200);
  before bigint := private.read_whole(payload, 'cursor', 999999999999999, 1, 999999999999999);
  actor uuid := private.read_uuid(payload, 'actor_id');
  wanted text := payload ->> 'action';
  since timestamptz := private.read_time(payload, 'from');
  until timestamptz := private.read_time(payload, 'to');
  result jsonb;
begin
  perform private.require_permission(org, 'audit:read');
  select jsonb_build_object(
    'events', coalesce(jsonb_agg(entry::jsonb order by seq desc) filter (where position <= most), '[]'),
    'next_cursor', case when count(*) > most then (min(seq) filter (where position <= most))::text end
  )
  into result
  from (
    select seq, entry, row_number() over (order by seq desc) as position
    from public.audit_logs
    where org_id = org and seq < before
      and (actor is null or actor_id = actor)
      and (wanted is null or action = wanted)
      and (since is null or occurred_at >= since)
      and (until is null or occurred_at < until)
    order by seq desc
    limit most + 1
  ) page;
  return result;
end
$$;
comment on function api.list_audit(jsonb) is
  '{org_id?, actor_id?, action?, from?, to?, cursor?, limit? (50; at most 200)} -> {events: [entries], next_cursor: '
  'text or null}, the newest first. PT403 audit:read (owners and admins); PT404, PT422.';

create function api.verify_audit(payload jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  org uuid := coalesce(private.read_uuid(payload, 'org_id'), '00000000-0000-0000-0000-000000000000');
  after bigint := private.read_whole(payload, 'after_seq', 0, 0, 999999999999999);
  most bigint := private.read_whole(payload, 'limit', 10000, 1, 100000);
  head private.audit_heads;
  line record;
  expected bytea := decode(repeat('00', 32), 'hex');
  checked bigint := after;
begin
  select * into head from private.audit_heads where org_id = org;
  if after > 0 then
    select hash into expected from public.audit_logs where org_id = org and seq = after;
  end if;
  for line in
    select seq, entry, prev_hash, hash from public.audit_logs where org_id = org and seq > after order by seq limit most
  loop
    if line.seq <> checked + 1 or line.prev_hash is distinct from expected
      or line.hash <> sha256(line.prev_hash || convert_to(line.entry, 'UTF8')) then
      return jsonb_build_object('ok', false, 'bad_seq', checked + 1);
    end if;
    checked := line.seq;
    expected := line.hash;
  end loop;
  -- Where the rows end, the head must stand.
  if checked < after + most
    and (coalesce(head.seq, 0) <> checked or checked > 0 and head.hash is distinct from expected) then
    return jsonb_build_object('ok', false, 'bad_seq', checked + 1);
  end if;
  return jsonb_build_object('ok', true, 'checked_to', checked, 'complete', checked = coalesce(head.seq, 0));
end
$$;
comment on function api.verify_audit(jsonb) is
  '{org_id? (none: the chain of events without one), after_seq? (0), limit? (10000; at most 100000)} -> {ok: true, '
  'checked_to, complete} or {ok: false, bad_seq: the first that is changed, missing or too many}. What went before '
  'after_seq is taken as it is. PT422.';

revoke all on function api.record_audit(jsonb), api.list_audit(jsonb), api.verify_audit(jsonb) from public;
grant execute on function api.record_audit(jsonb), api.verify_audit(jsonb) to service_role;
grant execute on function api.list_audit(jsonb) to authenticated;
