-- Where things live: tables in `public` under row level security, what nobody calls directly in `private`, and the
-- functions that the edge calls in `api`: one jsonb in, one jsonb out.

create schema if not exists extensions;
grant usage on schema extensions to anon, authenticated, service_role;

create schema api;
comment on schema api is 'Functions that the edge calls: one jsonb argument, one jsonb result.';
grant usage on schema api to anon, authenticated, service_role;

create schema private;
comment on schema private is 'Internals: never exposed through the API.';
revoke all on schema private from public;

create function api.ready(payload jsonb default '{}')
returns jsonb
language sql
stable
set search_path = ''
as $$ select jsonb_build_object('ok', true) $$;
comment on function api.ready(jsonb) is 'Whether the database answers; for readiness checks, callable by anyone.';
revoke all on function api.ready(jsonb) from public;
grant execute on function api.ready(jsonb) to anon, authenticated, service_role;
