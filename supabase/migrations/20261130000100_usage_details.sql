-- What a call was, by which prices it was charged, for what of it, and whether the edge's own cache answered it.

alter table public.llm_usage
  add column operation text not null default 'chat' check (operation ~ '^[a-z][a-z_]{1,39}$'),
  add column cache_write_tokens bigint not null default 0 check (cache_write_tokens >= 0),
  add column service_tier text check (char_length(service_tier) <= 100),
  add column price_version text check (char_length(price_version) <= 100),
  add column cache_hit boolean not null default false;
comment on column public.llm_usage.operation is 'OpenTelemetry''s `gen_ai.operation.name`: `chat` or `embeddings`.';
comment on column public.llm_usage.cached_input_tokens is 'Of the input: what the provider read from its cache.';
comment on column public.llm_usage.cache_write_tokens is 'Of the input: what the provider wrote into its cache.';
comment on column public.llm_usage.service_tier is 'In which tier the provider says it answered, or was asked to.';
comment on column public.llm_usage.price_version is
  'The version of the price that was charged, `route` for a route''s own; null where none was known.';
comment on column public.llm_usage.cache_hit is 'Whether the edge''s own cache answered: no provider was asked.';

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
    http_status, finish_reason, input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, usage_source,
    cost_nano_usd, price_version, cache_hit, latency_ms, time_to_first_token_ms, attempts, started_at
  )
  -- One row per id, or the second would meet the first. In the order of ids, so that no two callers wait for each
  -- other.
  select distinct on (id)
    id, request_id, user_id, org_id, api_key_id, coalesce(operation, 'chat'), alias, provider, model, service_tier,
    coalesce(stream, false), status, http_status, finish_reason, coalesce(input_tokens, 0), coalesce(output_tokens, 0),
    coalesce(cached_input_tokens, 0), coalesce(cache_write_tokens, 0), coalesce(usage_source, 'none'), cost_nano_usd,
    price_version, coalesce(cache_hit, false), coalesce(latency_ms, 0), time_to_first_token_ms, coalesce(attempts, 0),
    started_at
  from rows from (
    jsonb_to_recordset(events) as (
      id uuid, request_id text, user_id uuid, org_id uuid, api_key_id uuid, operation text, alias text, provider text,
      model text, service_tier text, stream boolean, status text, http_status smallint, finish_reason text,
      input_tokens bigint, output_tokens bigint, cached_input_tokens bigint, cache_write_tokens bigint, usage_source text,
      cost_nano_usd bigint, price_version text, cache_hit boolean, latency_ms integer, time_to_first_token_ms integer,
      attempts smallint, started_at timestamptz
    )
  ) with ordinality
  order by id, status = 'abandoned', ordinality
  on conflict (id) do update set
    (
      request_id, user_id, org_id, api_key_id, operation, alias, provider, model, service_tier, stream, status,
      http_status, finish_reason, input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, usage_source,
      cost_nano_usd, price_version, cache_hit, latency_ms, time_to_first_token_ms, attempts, started_at, recorded_at
    ) = (
      excluded.request_id, excluded.user_id, excluded.org_id, excluded.api_key_id, excluded.operation, excluded.alias,
      excluded.provider, excluded.model, excluded.service_tier, excluded.stream, excluded.status,
      excluded.http_status, excluded.finish_reason, excluded.input_tokens, excluded.output_tokens, excluded.cached_input_tokens,
      excluded.cache_write_tokens, excluded.usage_source, excluded.cost_nano_usd, excluded.price_version,
      excluded.cache_hit, excluded.latency_ms, excluded.time_to_first_token_ms, excluded.attempts, excluded.started_at,
      now()
    )
  where kept.status = 'abandoned' and excluded.status <> 'abandoned';
  get diagnostics stored = row_count;
  return stored;
end
$$;
