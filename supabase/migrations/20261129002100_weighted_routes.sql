-- In which order routes are tried: by priority, and among those of the same priority by chance and weight.

alter table public.model_routes
  add column priority smallint check (priority >= 0),
  add column weight smallint not null default 0 check (weight >= 0);
comment on column public.model_routes.priority is
  'Routes of a lower number are tried first; null means that the position is the number.';
comment on column public.model_routes.weight is
  'How likely the route comes first among those of its priority; while all are 0, they come in the order of their positions.';

create or replace function api.list_models(payload jsonb default '{}')
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
        'priority', coalesce(priority, position),
        'weight', weight,
        'input_nano_usd', input_nano_usd,
        'output_nano_usd', output_nano_usd,
        'cached_input_nano_usd', cached_input_nano_usd,
        'max_output_tokens', max_output_tokens
      ) order by position)
    ) as model
    from public.models join public.model_routes using (alias)
    group by alias
  ) listed
$$;
