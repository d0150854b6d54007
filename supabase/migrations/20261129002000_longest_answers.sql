-- How long an answer can become bounds what a call could cost, which is reserved before it begins.

alter table public.model_routes add column max_output_tokens bigint check (max_output_tokens > 0);
comment on column public.model_routes.max_output_tokens is 'The longest answer of the model in tokens; null means unknown.';

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
