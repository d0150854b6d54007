-- What models cost where a route does not say so itself. A new version of the prices is data: api.set_model_prices takes
-- `supabase/prices.json` as it is.

create function private.are_rates(rates jsonb)
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
            when key in ('above', 'input', 'output', 'cached_input', 'cache_write') then
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
  'Whether this is [{tier, above, input, output, cached_input?, cache_write?}], 1 to 32: prices in billionths of a US '
  'dollar per 1,000 tokens in a service tier, of calls with more than `above` tokens of input; no two for the same, '
  'each tier from 0 on, `standard` among them.';
revoke all on function private.are_rates(jsonb) from public;
grant execute on function private.are_rates(jsonb) to service_role;

create table public.model_prices (
  provider text not null check (provider ~ '^[a-z][a-z0-9-]{0,39}$'),
  model text not null check (char_length(model) between 1 and 200),
  version text not null check (char_length(version) between 1 and 100),
  max_input_tokens bigint check (max_input_tokens > 0),
  max_output_tokens bigint check (max_output_tokens > 0),
  rates jsonb not null check (private.are_rates(rates)),
  updated_at timestamptz not null default now(),
  primary key (provider, model)
);
comment on table public.model_prices is
  'What models cost, and how much they take and answer, where a route does not say so itself.';
comment on column public.model_prices.model is 'The provider''s own name of the model.';
comment on column public.model_prices.version is 'Of the list that the row comes from; each call notes it.';
comment on column public.model_prices.rates is
  'As private.are_rates says; a price of cached input or of writing it into the cache that is missing is that of input.';

alter table public.model_prices enable row level security;
revoke all on table public.model_prices from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.model_prices to service_role;

alter table public.model_routes
  add column priced_as text check (char_length(priced_as) between 1 and 200);
comment on column public.model_routes.priced_as is
  'Under which model model_prices has the route, where that is not its own: a deployment''s name says nothing of its price.';

create function api.set_model_prices(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  named text := private.read_text(payload, 'version', 100);
  wanted jsonb := private.read_items(payload, 'prices', 10000);
  wrong text;
  stored integer;
begin
  select format('%s %s', price ->> 'provider', price ->> 'model') into wrong
  from jsonb_array_elements(wanted) with ordinality listed (price, number)
  where not private.are_rates(price -> 'rates')
  order by number
  limit 1;
  if wrong is not null then
    raise sqlstate 'PT422' using message = format('these are no rates: %s', wrong), detail = 'prices';
  end if;
  begin
    -- In the order of the keys, so that no two callers wait for each other.
    insert into public.model_prices as kept (provider, model, version, max_input_tokens, max_output_tokens, rates)
    select provider, model, named, max_input_tokens, max_output_tokens, rates
    from jsonb_to_recordset(wanted) as price (
      provider text, model text, max_input_tokens bigint, max_output_tokens bigint, rates jsonb
    )
    order by provider, model
    on conflict (provider, model) do update set
      (version, max_input_tokens, max_output_tokens, rates, updated_at)
        = (excluded.version, excluded.max_input_tokens, excluded.max_output_tokens, excluded.rates, now());
    get diagnostics stored = row_count;
  exception when data_exception or integrity_constraint_violation or cardinality_violation then
    raise sqlstate 'PT422' using message = format('a price cannot be stored: %s', sqlerrm), detail = 'prices';
  end;
  return jsonb_build_object('version', named, 'stored', stored);
end
$$;
comment on function api.set_model_prices(jsonb) is
  '{version, prices: [{provider, model, max_input_tokens?, max_output_tokens?, rates}], at most 10000} -> {version, '
  'stored}: takes the place of what was known of these models; others stay as they are, with their version. All or '
  'none. PT422.';
revoke all on function api.set_model_prices(jsonb) from public;
grant execute on function api.set_model_prices(jsonb) to service_role;
