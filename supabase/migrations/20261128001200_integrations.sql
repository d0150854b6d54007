-- Services of others that an organization has connected.

create table public.integrations (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organizations (id) on delete cascade,
  kind text not null check (kind ~ '^[a-z][a-z0-9_-]{0,39}$'),
  name text not null check (char_length(name) between 1 and 100),
  settings jsonb not null default '{}'
    check (jsonb_typeof(settings) = 'object' and octet_length(settings::text) <= 16384),
  secret_name text check (char_length(secret_name) between 1 and 100),
  enabled boolean not null default true,
  created_by uuid default auth.uid() references auth.users (id) on delete set null,
  created_at timestamptz not null default now(),
  unique (org_id, name)
);
comment on table public.integrations is 'Services of others that an organization has connected.';
comment on column public.integrations.kind is 'What it is, such as `github` or `slack`.';
comment on column public.integrations.settings is 'What is no secret.';
comment on column public.integrations.secret_name is
  'Under which name the edge keeps the credential; the database has none.';
create index integrations_created_by on public.integrations (created_by);

alter table public.integrations enable row level security;
revoke all on table public.integrations from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.integrations to service_role;

-- The name of a secret is the edge's to give: whoever could choose it would use somebody else's credential.
grant select (id, org_id, kind, name, settings, enabled, created_by, created_at),
  insert (org_id, kind, name, settings, enabled), update (name, settings, enabled), delete
  on table public.integrations to authenticated;
create policy "integrations are seen by those who may" on public.integrations
  for select to authenticated using (org_id = any ((select private.orgs_with_permission('integrations:read'))::uuid[]));
create policy "integrations are made by those who may" on public.integrations
  for insert to authenticated
  with check (org_id = any ((select private.orgs_with_permission('integrations:write'))::uuid[]));
create policy "integrations are changed by those who may" on public.integrations
  for update to authenticated
  using (org_id = any ((select private.orgs_with_permission('integrations:write'))::uuid[]))
  with check (org_id = any ((select private.orgs_with_permission('integrations:write'))::uuid[]));
create policy "integrations are deleted by those who may" on public.integrations
  for delete to authenticated
  using (org_id = any ((select private.orgs_with_permission('integrations:write'))::uuid[]));

create trigger audit_change after insert or update or delete on public.integrations
  for each row execute function private.audit_change('integration', 'kind', 'name', 'enabled');
