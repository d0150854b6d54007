-- What a tier may ask of a language model. Without a row it may all that there is.

create table public.llm_tier_rules (
  tier text primary key check (tier in ('T1', 'T2', 'T3')),
  allowed_models text[] not null default '{}' check (
    cardinality(allowed_models) <= 1000 and array_position(allowed_models, null) is null
  ),
  max_output_tokens integer check (max_output_tokens > 0)
);
comment on table public.llm_tier_rules is
  'What everybody of a tier may ask of a language model; the rules of an API key hold besides.';
comment on column public.llm_tier_rules.tier is 'As organizations.tier.';
comment on column public.llm_tier_rules.allowed_models is 'The model aliases that may be used; all if there is none.';
comment on column public.llm_tier_rules.max_output_tokens is
  'How long an answer may become at most, in tokens; as long as the model can if null.';
alter table public.llm_tier_rules enable row level security;
revoke all on table public.llm_tier_rules from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.llm_tier_rules to service_role;

create or replace function api.list_models(payload jsonb default '{}')
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object(
    'models', coalesce(jsonb_agg(model order by alias), '[]'),
    'tiers', (
      select coalesce(jsonb_object_agg(tier, to_jsonb(rules) - 'tier'), '{}') from public.llm_tier_rules rules
    )
  )
  from (
    select alias, jsonb_build_object(
      'alias', alias,
      'created', extract(epoch from models.created_at)::bigint,
      'owned_by', owned_by,
      'routes', jsonb_agg(jsonb_build_object(
        'provider', route.provider,
        'model', route.model,
        'priority', coalesce(priority, position),
        'weight', weight,
        'input_nano_usd', input_nano_usd,
        'output_nano_usd', output_nano_usd,
        'cached_input_nano_usd', cached_input_nano_usd,
        'max_input_tokens', price.max_input_tokens,
        'max_output_tokens', coalesce(route.max_output_tokens, price.max_output_tokens),
        'rates', case when is_priced then null else price.rates end,
        'price_version', case when is_priced then 'route' else price.version end
      ) order by position)
    ) as model
    from public.models
    join public.model_routes route using (alias)
    left join public.model_prices price
      on price.provider = route.provider and price.model = coalesce(route.priced_as, route.model)
    cross join lateral (select input_nano_usd is not null and output_nano_usd is not null as is_priced) own
    group by alias
  ) listed
$$;
comment on function api.list_models(jsonb) is
  'Every alias that has a route, with its routes in order and their prices: the route''s own (version `route`), or the '
  'rates of model_prices with their version, or none. And the rules of tiers, for those that have any.';
