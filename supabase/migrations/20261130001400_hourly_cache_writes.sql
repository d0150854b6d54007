-- What a provider keeps in its cache for an hour costs more than what it keeps for five minutes: a price of its own, and a
-- count of its own in each row, without which the cost could not be worked out again.

create or replace function private.are_rates(rates jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select jsonb_typeof(rates) = 'array' and (
    select count(*) between 1 and 32
      and count(distinct (tier, above)) = count(*)
      and count(distinct tier) = count(*) filter (where above = 0)
      and bool_or(tier = 'standard')
      and bool_and(is_rate)
    from jsonb_array_elements(case jsonb_typeof(rates) when 'array' then rates else '[]' end) rate
    cross join lateral (
      select coalesce(
        jsonb_typeof(rate) = 'object'
        and rate ->> 'tier' ~ '^[a-z][a-z0-9_-]{0,39}$'
        and not exists (
          select from jsonb_each(case jsonb_typeof(rate) when 'object' then rate else '{}' end) member
          where case
            when key = 'tier' then false
            when key in ('above', 'input', 'output', 'cached_input', 'cache_write', 'cache_write_1h') then
              jsonb_typeof(value) <> 'number' or value::text !~ '^\d{1,15}$'
            else true
          end
        )
        and rate ?& array['above', 'input', 'output'],
        false
      ) as is_rate
    ) checked
    cross join lateral (
      select rate ->> 'tier' as tier, case when is_rate then (rate ->> 'above')::bigint end as above
    ) told
  )
$$;
comment on function private.are_rates(jsonb) is
  'Whether this is [{tier, above, input, output, cached_input?, cache_write?, cache_write_1h?}], 1 to 32: prices in '
  'billionths of a US dollar per 1,000 tokens in a service tier, of calls with more than `above` tokens of input; no two '
  'for the same, each tier from 0 on, `standard` among them.';

alter table public.llm_usage
  add column cache_write_1h_tokens bigint not null default 0 check (cache_write_1h_tokens >= 0);
comment on column public.llm_usage.cache_write_1h_tokens is 'Of the cache writes: what the provider keeps for an hour.';
comment on column public.model_prices.rates is
  'As private.are_rates says; a price of cached input or of writing it into the cache that is missing is that of input, '
  'and one of writing it for an hour that of writing it: of Anthropic and Bedrock, where there is such a price, at least '
  'twice that of input.';

create or replace function private.insert_llm_usage(events jsonb)
returns integer
language plpgsql -- whose plans are kept, unlike those of a function in SQL
set search_path = ''
as $$
declare
  stored integer;
begin
  insert into public.llm_usage as kept (
    id, request_id, user_id, org_id, api_key_id, operation, alias, provider, model, service_tier, stream, status,
    http_status, finish_reason, input_tokens, output_tokens, cached_input_tokens, cache_write_tokens,
    cache_write_1h_tokens, usage_source, cost_nano_usd, price_version, cache_hit, latency_ms, time_to_first_token_ms,
    attempts, started_at
  )
  -- One row per id, or the second would meet the first. In the order of ids, so that no two callers wait for each
  -- other.
  select distinct on (id)
    id, request_id, user_id, org_id, api_key_id, coalesce(operation, 'chat'), alias, provider, model, service_tier,
    coalesce(stream, false), status, http_status, finish_reason, coalesce(input_tokens, 0), coalesce(output_tokens, 0),
    coalesce(cached_input_tokens, 0), coalesce(cache_write_tokens, 0), coalesce(cache_write_1h_tokens, 0),
    coalesce(usage_source, 'none'), cost_nano_usd, price_version, coalesce(cache_hit, false), coalesce(latency_ms, 0),
    time_to_first_token_ms, coalesce(attempts, 0), started_at
  from rows from (
    jsonb_to_recordset(events) as (
      id uuid, request_id text, user_id uuid, org_id uuid, api_key_id uuid, operation text, alias text, provider text,
      model text, service_tier text, stream boolean, status text, http_status smallint, finish_reason text,
      input_tokens bigint, output_tokens bigint, cached_input_tokens bigint, cache_write_tokens bigint,
      cache_write_1h_tokens bigint, usage_source text, cost_nano_usd bigint, price_version text, cache_hit boolean,
      latency_ms integer, time_to_first_token_ms integer, attempts smallint, started_at timestamptz
    )
  ) with ordinality
  order by id, status = 'abandoned', ordinality
  on conflict (id) do update set
    (
      request_id, user_id, org_id, api_key_id, operation, alias, provider, model, service_tier, stream, status,
      http_status, finish_reason, input_tokens, output_tokens, cached_input_tokens, cache_write_tokens,
      cache_write_1h_tokens, usage_source, cost_nano_usd, price_version, cache_hit, latency_ms, time_to_first_token_ms,
      attempts, started_at, recorded_at
    ) = (
      excluded.request_id, excluded.user_id, excluded.org_id, excluded.api_key_id, excluded.operation, excluded.alias,
      excluded.provider, excluded.model, excluded.service_tier, excluded.stream, excluded.status,
      excluded.http_status, excluded.finish_reason, excluded.input_tokens, excluded.output_tokens, excluded.cached_input_tokens,
      excluded.cache_write_tokens, excluded.cache_write_1h_tokens, excluded.usage_source, excluded.cost_nano_usd,
      excluded.price_version, excluded.cache_hit, excluded.latency_ms, excluded.time_to_first_token_ms,
      excluded.attempts, excluded.started_at, now()
    )
  where kept.status = 'abandoned' and excluded.status <> 'abandoned';
  get diagnostics stored = row_count;
  return stored;
end
$$;

create or replace function api.usage_summary(payload jsonb default '{}')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  grouping_by text := coalesce(payload ->> 'group_by', 'day');
  period record;
  result jsonb;
begin
  if grouping_by not in ('day', 'model', 'user', 'key') then
    raise sqlstate 'PT400' using message = 'group_by must be day, model, user or key', detail = 'group_by';
  end if;
  period := private.read_period(payload);
  with calls as (
    select
      llm_usage.*,
      status not in ('success', 'client_closed') as is_error,
      case grouping_by
        when 'day' then to_char(started_at at time zone 'UTC', 'YYYY-MM-DD')
        when 'model' then coalesce(model, alias)
        when 'user' then user_id::text
        else api_key_id::text
      end as label
    from public.llm_usage
    where started_at >= period.since and started_at < period.until
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
        'cache_write_tokens', coalesce(sum(cache_write_tokens), 0),
        'cache_write_1h_tokens', coalesce(sum(cache_write_1h_tokens), 0),
        'cost_nano_usd', coalesce(sum(cost_nano_usd), 0),
        'cost_micro_usd', trim_scale(coalesce(sum(cost_nano_usd), 0) * 0.001),
        'unpriced_requests', count(*) filter (where cost_nano_usd is null),
        'cache_hits', count(*) filter (where cache_hit),
        'errors', count(*) filter (where is_error),
        'error_rate', trim_scale(round(count(*) filter (where is_error) / nullif(count(*), 0)::numeric, 6)),
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

create or replace function api.export_usage(payload jsonb default '{}')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  period record := private.read_period(payload);
  after uuid := private.read_uuid(payload, 'after');
  most bigint := private.read_whole(payload, 'limit', 500, 1, 500);
  begun timestamptz := '-infinity';
  result jsonb;
begin
  if after is not null then
    select started_at into begun from public.llm_usage where id = after;
    if not found then
      raise sqlstate 'PT404' using message = 'there is no such call', detail = 'after';
    end if;
  end if;
  with found as (
    -- One index for the caller's own calls and one per organization: each page costs what it shows, wherever it begins.
    select own.* from (
      select * from public.llm_usage
      where user_id = auth.uid() and started_at >= greatest(period.since, begun) and started_at < period.until
        and (started_at, id) > (begun, coalesce(after, '00000000-0000-0000-0000-000000000000'))
      order by started_at, id
      limit most + 1
    ) own
    union
    select theirs.* from unnest(private.orgs_with_permission('usage:read')) org cross join lateral (
      select * from public.llm_usage
      where org_id = org and started_at >= greatest(period.since, begun) and started_at < period.until
        and (started_at, id) > (begun, coalesce(after, '00000000-0000-0000-0000-000000000000'))
      order by started_at, id
      limit most + 1
    ) theirs
  ),
  page as (
    select *, row_number() over (order by started_at, id) as number, count(*) over () as seen from found
    order by started_at, id
    limit most
  )
  select jsonb_build_object(
    'columns', to_jsonb('{id,started_at,request_id,user_id,org_id,api_key_id,alias,provider,model,service_tier,stream,'
      'status,http_status,finish_reason,input_tokens,cached_input_tokens,cache_write_tokens,cache_write_1h_tokens,'
      'output_tokens,usage_source,cost_micro_usd,price_version,cache_hit,latency_ms,time_to_first_token_ms,attempts}'::text[]),
    'rows', coalesce(jsonb_agg(to_jsonb(array[
      id::text, to_char(started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), request_id, user_id::text,
      org_id::text, api_key_id::text, alias, provider, model, service_tier, stream::text, status, http_status::text,
      finish_reason, input_tokens::text, cached_input_tokens::text, cache_write_tokens::text,
      cache_write_1h_tokens::text, output_tokens::text, usage_source, trim_scale(cost_nano_usd * 0.001)::text,
      price_version, cache_hit::text, latency_ms::text, time_to_first_token_ms::text, attempts::text
    ]) order by number), '[]'),
    'next_after', (array_agg(id order by number desc) filter (where seen > most))[1]
  )
  into result
  from page;
  return result;
end
$$;
