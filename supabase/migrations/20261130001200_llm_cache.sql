-- The cache of answers is kept by the edge. What is here is which generation of it counts: a purge begins the next one.

create table public.llm_cache_generations (
  tenant uuid primary key,
  generation bigint not null check (generation > 0),
  purged_at timestamptz not null default now()
);
comment on table public.llm_cache_generations is
  'How often the cached answers of a tenant have been purged; without a row never. It refers to nothing: a tenant is an '
  'organization, or a user who acts in none.';
comment on column public.llm_cache_generations.generation is 'The number of purges; part of the key of each cached answer.';
alter table public.llm_cache_generations enable row level security;
revoke all on table public.llm_cache_generations from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.llm_cache_generations to service_role;

create function private.purge_llm_cache(wanted uuid)
returns bigint
language sql
security definer
set search_path = ''
as $$
  insert into public.llm_cache_generations as kept (tenant, generation)
  select wanted, 1
  where wanted = auth.uid() or 'limits:write' = any (private.permissions_in(wanted))
  on conflict (tenant) do update set generation = kept.generation + 1, purged_at = now()
  returning generation
$$;
comment on function private.purge_llm_cache(uuid) is
  'Begins the next generation of a tenant''s cached answers, if the caller may: the user alone, or who sets the limits '
  'of the organization. Runs as its owner, because users write the generation in no other way.';
revoke all on function private.purge_llm_cache(uuid) from public;
grant execute on function private.purge_llm_cache(uuid) to authenticated;

create function api.purge_llm_cache(payload jsonb default '{}')
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := coalesce(
    private.read_uuid(payload, 'org_id'), ((select auth.jwt()) -> 'app_metadata' ->> 'org_id')::uuid
  );
begin
  if org is not null then
    perform private.require_permission(org, 'limits:write');
  end if;
  return jsonb_build_object('generation', private.purge_llm_cache(coalesce(org, (select auth.uid()))));
end
$$;
comment on function api.purge_llm_cache(jsonb) is
  '{org_id?} -> {generation}: makes all cached answers of the organization (of org_id, or in the access token) '
  'worthless, or of the user where there is none. PT403 limits:write; PT404.';
revoke all on function api.purge_llm_cache(jsonb) from public;
grant execute on function api.purge_llm_cache(jsonb) to authenticated;

create function api.llm_cache_generation(payload jsonb)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select jsonb_build_object('generation', coalesce((
    select generation from public.llm_cache_generations where tenant = private.read_uuid(payload, 'tenant')
  ), 0))
$$;
comment on function api.llm_cache_generation(jsonb) is
  '{tenant: an organization''s or a user''s id} -> {generation}: how often its cached answers have been purged.';
revoke all on function api.llm_cache_generation(jsonb) from public;
grant execute on function api.llm_cache_generation(jsonb) to service_role;
