-- What was used, summed up and call by call. Both see what row level security shows the caller.

create function private.read_period(payload jsonb, out since timestamptz, out until timestamptz)
language plpgsql
stable
set search_path = ''
as $$
begin
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
end
$$;
comment on function private.read_period(jsonb) is
  'from (inclusive) and to (exclusive): the last 30 days unless told otherwise. PT400 names the one that is wrong.';
revoke all on function private.read_period(jsonb) from public;
grant execute on function private.read_period(jsonb) to authenticated;

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
comment on function api.usage_summary(jsonb) is
  'Totals, error rates, cache hits and percentiles of the calls that the caller may see, from (inclusive) to '
  '(exclusive), per day, model, user or key; the last 30 days per day unless told otherwise. Money is exact. PT400 names '
  'the argument that is wrong.';

create function api.export_usage(payload jsonb default '{}')
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
      'status,http_status,finish_reason,input_tokens,cached_input_tokens,cache_write_tokens,output_tokens,usage_source,'
      'cost_micro_usd,price_version,cache_hit,latency_ms,time_to_first_token_ms,attempts}'::text[]),
    'rows', coalesce(jsonb_agg(to_jsonb(array[
      id::text, to_char(started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), request_id, user_id::text,
      org_id::text, api_key_id::text, alias, provider, model, service_tier, stream::text, status, http_status::text,
      finish_reason, input_tokens::text, cached_input_tokens::text, cache_write_tokens::text, output_tokens::text,
      usage_source, trim_scale(cost_nano_usd * 0.001)::text, price_version, cache_hit::text, latency_ms::text,
      time_to_first_token_ms::text, attempts::text
    ]) order by number), '[]'),
    'next_after', (array_agg(id order by number desc) filter (where seen > most))[1]
  )
  into result
  from page;
  return result;
end
$$;
comment on function api.export_usage(jsonb) is
  '{from?, to?, after? (the id of a call), limit? (500; at most 500)} -> {columns, rows: [[text or null]], next_after: '
  'id or null}: the calls that the caller may see, in the order in which they began and of their ids, those after one '
  'that is named. PT400: from or to; PT404: after; PT422.';
revoke all on function api.export_usage(jsonb) from public;
grant execute on function api.export_usage(jsonb) to authenticated;
