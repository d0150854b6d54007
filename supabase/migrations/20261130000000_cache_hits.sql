-- A call that was answered from the cache is a call of its own, with the tokens of the answer and without a cost.

alter table public.llm_usage add column cache_hit boolean not null default false;
comment on column public.llm_usage.cache_hit is 'Whether the answer came from the cache of answers: nothing was paid for it.';

create or replace function private.insert_llm_usage(events jsonb)
returns integer
language plpgsql -- whose plans are kept, unlike those of a function in SQL
set search_path = ''
as $$
declare
  stored integer;
begin
  insert into public.llm_usage as kept (
    id, request_id, user_id, org_id, api_key_id, alias, provider, model, stream, status, http_status, finish_reason,
    input_tokens, output_tokens, cached_input_tokens, usage_source, cost_nano_usd, latency_ms,
    time_to_first_token_ms, attempts, started_at, cache_hit
  )
  -- One row per id, or the second would meet the first. In the order of ids, so that no two callers wait for each
  -- other.
  select distinct on (id)
    id, request_id, user_id, org_id, api_key_id, alias, provider, model, coalesce(stream, false), status,
    http_status, finish_reason, coalesce(input_tokens, 0), coalesce(output_tokens, 0),
    coalesce(cached_input_tokens, 0), coalesce(usage_source, 'none'), cost_nano_usd, coalesce(latency_ms, 0),
    time_to_first_token_ms, coalesce(attempts, 0), started_at, coalesce(cache_hit, false)
  from rows from (
    jsonb_to_recordset(events) as (
      id uuid, request_id text, user_id uuid, org_id uuid, api_key_id uuid, alias text, provider text, model text,
      stream boolean, status text, http_status smallint, finish_reason text, input_tokens bigint,
      output_tokens bigint, cached_input_tokens bigint, usage_source text, cost_nano_usd bigint, latency_ms integer,
      time_to_first_token_ms integer, attempts smallint, started_at timestamptz,
      cache_hit boolean
    )
  ) with ordinality
  order by id, status = 'abandoned', ordinality
  on conflict (id) do update set
    (
      request_id, user_id, org_id, api_key_id, alias, provider, model, stream, status, http_status, finish_reason,
      input_tokens, output_tokens, cached_input_tokens, usage_source, cost_nano_usd, latency_ms,
      time_to_first_token_ms, attempts, started_at, cache_hit, recorded_at
    ) = (
      excluded.request_id, excluded.user_id, excluded.org_id, excluded.api_key_id, excluded.alias,
      excluded.provider, excluded.model, excluded.stream, excluded.status, excluded.http_status,
      excluded.finish_reason, excluded.input_tokens, excluded.output_tokens, excluded.cached_input_tokens,
      excluded.usage_source, excluded.cost_nano_usd, excluded.latency_ms, excluded.time_to_first_token_ms,
      excluded.attempts, excluded.started_at, excluded.cache_hit, now()
    )
  where kept.status = 'abandoned' and excluded.status <> 'abandoned';
  get diagnostics stored = row_count;
  return stored;
end
$$;
