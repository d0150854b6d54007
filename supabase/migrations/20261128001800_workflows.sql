-- Workflows and their runs.

create table public.workflow_definitions (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organizations (id) on delete cascade,
  name text not null check (char_length(name) between 1 and 100),
  version integer not null default 1 check (version > 0),
  definition jsonb not null check (jsonb_typeof(definition) = 'object' and octet_length(definition::text) <= 262144),
  enabled boolean not null default true,
  created_by uuid default auth.uid() references auth.users (id) on delete set null,
  created_at timestamptz not null default now(),
  unique (org_id, name, version),
  unique (org_id, id)
);
comment on table public.workflow_definitions is 'Workflows: every version is a row, and its definition stays as it is.';
comment on column public.workflow_definitions.version is 'Counts from 1 for each name.';
create index workflow_definitions_created_by on public.workflow_definitions (created_by);

create table public.workflow_executions (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organizations (id) on delete cascade,
  workflow_id uuid,
  started_by uuid references auth.users (id) on delete set null,
  status text not null default 'queued' check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
  input jsonb not null default '{}' check (octet_length(input::text) <= 262144),
  output jsonb check (octet_length(output::text) <= 262144),
  error text check (char_length(error) <= 2000),
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  foreign key (org_id, workflow_id) references public.workflow_definitions (org_id, id) on delete set null (workflow_id)
);
comment on table public.workflow_executions is 'Runs of workflows, written by the service alone.';
comment on column public.workflow_executions.workflow_id is 'Null if the definition is gone.';
comment on column public.workflow_executions.started_by is
  'Null if nobody did, or somebody who has no account any more.';
create index workflow_executions_org on public.workflow_executions (org_id, created_at);
create index workflow_executions_workflow on public.workflow_executions (org_id, workflow_id);
create index workflow_executions_started_by on public.workflow_executions (started_by);

alter table public.workflow_definitions enable row level security;
alter table public.workflow_executions enable row level security;
revoke all on table public.workflow_definitions, public.workflow_executions
  from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.workflow_definitions, public.workflow_executions to service_role;

grant select, insert (org_id, name, version, definition, enabled), update (enabled), delete
  on table public.workflow_definitions to authenticated;
create policy "workflows are seen by those who may" on public.workflow_definitions
  for select to authenticated using (org_id = any ((select private.orgs_with_permission('workflows:read'))::uuid[]));
create policy "workflows are made by those who may" on public.workflow_definitions
  for insert to authenticated
  with check (org_id = any ((select private.orgs_with_permission('workflows:write'))::uuid[]));
create policy "workflows are turned on and off by those who may" on public.workflow_definitions
  for update to authenticated
  using (org_id = any ((select private.orgs_with_permission('workflows:write'))::uuid[]))
  with check (org_id = any ((select private.orgs_with_permission('workflows:write'))::uuid[]));
create policy "workflows are deleted by those who may" on public.workflow_definitions
  for delete to authenticated
  using (org_id = any ((select private.orgs_with_permission('workflows:write'))::uuid[]));

grant select on table public.workflow_executions to authenticated;
create policy "runs are seen by those who may see the workflows" on public.workflow_executions
  for select to authenticated using (org_id = any ((select private.orgs_with_permission('workflows:read'))::uuid[]));
