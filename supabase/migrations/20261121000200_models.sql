-- Model aliases and the routes behind them.

create table public.models (
  alias text primary key check (alias ~ '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$'),
  owned_by text not null default 'qlp',
  created_at timestamptz not null default now()
);
comment on table public.models is 'The model names that callers may ask for.';

create table public.model_routes (
  alias text not null references public.models (alias) on update cascade on delete cascade,
  position smallint not null check (position > 0),
  provider text not null check (provider ~ '^[a-z][a-z0-9-]{0,39}$'),
  model text not null check (char_length(model) between 1 and 200),
  input_nano_usd bigint check (input_nano_usd >= 0),
  output_nano_usd bigint check (output_nano_usd >= 0),
  cached_input_nano_usd bigint check (cached_input_nano_usd >= 0),
  primary key (alias, position)
);
comment on table public.model_routes is 'What stands behind an alias: providers in the order in which they are tried.';
comment on column public.model_routes.model is 'The provider''s own name of the model.';
comment on column public.model_routes.input_nano_usd is 'Billionths of a US dollar per token; null means unknown.';
comment on column public.model_routes.output_nano_usd is 'Billionths of a US dollar per token; null means unknown.';
comment on column public.model_routes.cached_input_nano_usd is
  'Billionths of a US dollar per token that the provider read from its cache; null means unknown.';

alter table public.models enable row level security;
alter table public.model_routes enable row level security;
revoke all on table public.models, public.model_routes from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.models, public.model_routes to service_role;

-- What we pay and whom is nobody's business; the names are.
grant select on table public.models to authenticated;
create policy "signed-in users see the aliases" on public.models for select to authenticated using (true);

create function api.list_models(payload jsonb default '{}')
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object('models', coalesce(jsonb_agg(model order by alias), '[]'))
  from (
    select alias, jsonb_build_object(
      'alias', alias,
      'created', extract(epoch from models.created_at)::bigint,
      'owned_by', owned_by,
      'routes', jsonb_agg(jsonb_build_object(
        'provider', provider,
        'model', model,
        'input_nano_usd', input_nano_usd,
        'output_nano_usd', output_nano_usd,
        'cached_input_nano_usd', cached_input_nano_usd
      ) order by position)
    ) as model
    from public.models join public.model_routes using (alias)
    group by alias
  ) listed
$$;
comment on function api.list_models(jsonb) is 'Every alias that has a route, with its routes in order and their prices.';
revoke all on function api.list_models(jsonb) from public;
grant execute on function api.list_models(jsonb) to service_role;
