-- What was used: one row per LLM call, written after the answer.

create table public.llm_usage (
  id uuid primary key,
  request_id text not null check (char_length(request_id) <= 200),
  user_id uuid,
  org_id uuid,
  api_key_id uuid,
  alias text not null check (char_length(alias) <= 200),
  provider text check (char_length(provider) <= 100),
  model text check (char_length(model) <= 200),
  stream boolean not null,
  status text not null check (status ~ '^[a-z][a-z_]{1,39}$'),
  http_status smallint check (http_status between 100 and 599),
  finish_reason text check (char_length(finish_reason) <= 100),
  input_tokens bigint not null check (input_tokens >= 0),
  output_tokens bigint not null check (output_tokens >= 0),
  cached_input_tokens bigint not null check (cached_input_tokens >= 0),
  usage_source text not null check (usage_source in ('provider', 'estimated', 'none')),
  cost_nano_usd bigint check (cost_nano_usd >= 0),
  latency_ms integer not null check (latency_ms >= 0),
  time_to_first_token_ms integer check (time_to_first_token_ms >= 0),
  attempts smallint not null check (attempts >= 0),
  started_at timestamptz not null,
  recorded_at timestamptz not null default now()
);
comment on table public.llm_usage is
  'The accounts: one row per LLM call. It refers to nothing, so that it outlives users, organizations and keys, and '
  'no event is lost because one of them is gone.';
comment on column public.llm_usage.id is 'Given by the edge, so that an event that is sent twice is stored once.';
comment on column public.llm_usage.status is '`success`, `client_closed` (the caller hung up), or what went wrong.';
comment on column public.llm_usage.cost_nano_usd is 'Billionths of a US dollar; null where no price was known.';
create index llm_usage_user on public.llm_usage (user_id, started_at);
create index llm_usage_org on public.llm_usage (org_id, started_at);

alter table public.llm_usage enable row level security;
revoke all on table public.llm_usage from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.llm_usage to service_role;

grant select on table public.llm_usage to authenticated;
create policy "own usage, and that of the organizations one runs, is visible" on public.llm_usage
  for select to authenticated using (
    user_id = (select auth.uid())
    or org_id = any ((select private.orgs_with_role('{owner,admin}'))::uuid[])
  );

-- Recording

create function private.insert_llm_usage(events jsonb)
returns integer
language sql
set search_path = ''
as $$
  with stored as (
    insert into public.llm_usage (
      id, request_id, user_id, org_id, api_key_id, alias, provider, model, stream, status, http_status, finish_reason,
      input_tokens, output_tokens, cached_input_tokens, usage_source, cost_nano_usd, latency_ms,
      time_to_first_token_ms, attempts, started_at
    )
    select
      id, request_id, user_id, org_id, api_key_id, alias, provider, model, coalesce(stream, false), status,
      http_status, finish_reason, coalesce(input_tokens, 0), coalesce(output_tokens, 0),
      coalesce(cached_input_tokens, 0), coalesce(usage_source, 'none'), cost_nano_usd, coalesce(latency_ms, 0),
      time_to_first_token_ms, coalesce(attempts, 0), started_at
    from jsonb_to_recordset(events) as event (
      id uuid, request_id text, user_id uuid, org_id uuid, api_key_id uuid, alias text, provider text, model text,
      stream boolean, status text, http_status smallint, finish_reason text, input_tokens bigint,
      output_tokens bigint, cached_input_tokens bigint, usage_source text, cost_nano_usd bigint, latency_ms integer,
      time_to_first_token_ms integer, attempts smallint, started_at timestamptz
    )
    on conflict (id) do nothing
    returning 1
  )
  select count(*)::integer from stored
$$;
comment on function private.insert_llm_usage(jsonb) is 'Stores events in one statement; returns how many were new.';
revoke all on function private.insert_llm_usage(jsonb) from public;
grant execute on function private.insert_llm_usage(jsonb) to service_role;

create function api.record_llm_usage(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  events jsonb := payload -> 'events';
  event jsonb;
  recorded integer := 0;
  refused jsonb := '[]';
begin
  if jsonb_typeof(events) is distinct from 'array' then
    raise sqlstate 'PT400' using message = 'events must be an array', detail = 'events';
  end if;
  begin
    recorded := private.insert_llm_usage(events);
  exception when data_exception or integrity_constraint_violation then
    -- One event that cannot be stored must not take the others with it, now and at every retry.
    for event in select * from jsonb_array_elements(events) loop
      begin
        recorded := recorded + private.insert_llm_usage(jsonb_build_array(event));
      exception when data_exception or integrity_constraint_violation then
        refused := refused || jsonb_build_object('id', event -> 'id', 'reason', sqlerrm);
      end;
    end loop;
  end;
  if jsonb_array_length(refused) > 0 then
    return jsonb_build_object('recorded', recorded, 'refused', refused);
  end if;
  return jsonb_build_object('recorded', recorded);
end
$$;
comment on function api.record_llm_usage(jsonb) is
  'Stores usage events and says how many were new; an event that is there already is left alone, and one that cannot '
  'be stored is listed under refused. PT400: events is not an array.';
revoke all on function api.record_llm_usage(jsonb) from public;
grant execute on function api.record_llm_usage(jsonb) to service_role;

-- Reporting

create function api.usage_summary(payload jsonb default '{}')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  grouping_by text := coalesce(payload ->> 'group_by', 'day');
  until timestamptz;
  since timestamptz;
  result jsonb;
begin
  if grouping_by not in ('day', 'model', 'user', 'key') then
    raise sqlstate 'PT400' using message = 'group_by must be day, model, user or key', detail = 'group_by';
  end if;
  begin
    until := coalesce((payload ->> 'to')::timestamptz, now());
  exception when data_exception then
    raise sqlstate 'PT400' using message = 'to must be a time such as 2026-11-21T00:00:00Z', detail = 'to';
  end;
  begin
    since := coalesce((payload ->> 'from')::timestamptz, until - interval '30 days');
  exception when data_exception then
    raise sqlstate 'PT400' using message = 'from must be a time such as 2026-11-21T00:00:00Z', detail = 'from';
  end;
  if since > until or until - since > interval '366 days' then
    raise sqlstate 'PT400' using message = 'from must be before to, by at most 366 days', detail = 'from';
  end if;

  with calls as (
    select
      llm_usage.*,
      case grouping_by
        when 'day' then to_char(started_at at time zone 'UTC', 'YYYY-MM-DD')
        when 'model' then coalesce(model, alias)
        when 'user' then user_id::text
        else api_key_id::text
      end as label
    from public.llm_usage
    where started_at >= since and started_at < until
  ),
  sums as (
    select
      grouping(label) = 1 as is_total,
      label,
      jsonb_build_object(
        'requests', count(*),
        'input_tokens', coalesce(sum(input_tokens), 0),
        'output_tokens', coalesce(sum(output_tokens), 0),
        'cached_input_tokens', coalesce(sum(cached_input_tokens), 0),
        'cost_nano_usd', coalesce(sum(cost_nano_usd), 0),
        'unpriced_requests', count(*) filter (where cost_nano_usd is null),
        'errors', count(*) filter (where status not in ('success', 'client_closed')),
        'latency_ms', jsonb_build_object(
          'p50', percentile_disc(0.50) within group (order by latency_ms),
          'p95', percentile_disc(0.95) within group (order by latency_ms),
          'p99', percentile_disc(0.99) within group (order by latency_ms)
        ),
        'time_to_first_token_ms', jsonb_build_object(
          'p50', percentile_disc(0.50) within group (order by time_to_first_token_ms),
          'p95', percentile_disc(0.95) within group (order by time_to_first_token_ms),
          'p99', percentile_disc(0.99) within group (order by time_to_first_token_ms)
        )
      ) as numbers
    from calls
    group by grouping sets ((label), ())
  )
  select jsonb_build_object(
    'data', coalesce(
      jsonb_agg(jsonb_build_object('group', label) || numbers order by label) filter (where not is_total),
      '[]'
    ),
    'total', (jsonb_agg(numbers) filter (where is_total)) -> 0
  )
  into result
  from sums;
  return result;
end
$$;
comment on function api.usage_summary(jsonb) is
  'Totals and percentiles of the calls that the caller may see, from (inclusive) to (exclusive), per day, model, user '
  'or key; the last 30 days per day unless told otherwise. PT400 names the argument that is wrong.';
revoke all on function api.usage_summary(jsonb) from public;
grant execute on function api.usage_summary(jsonb) to authenticated;
