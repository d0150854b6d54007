-- What agents did.

create table public.agent_audit_log (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organizations (id) on delete cascade,
  user_id uuid,
  agent text not null check (char_length(agent) between 1 and 100),
  run_id uuid not null,
  step integer not null check (step >= 0),
  action text not null check (char_length(action) between 1 and 100),
  status text not null check (status in ('success', 'failure', 'denied')),
  input_digest bytea check (octet_length(input_digest) = 32),
  output_digest bytea check (octet_length(output_digest) = 32),
  details jsonb not null default '{}' check (jsonb_typeof(details) = 'object' and octet_length(details::text) <= 16384),
  started_at timestamptz not null,
  finished_at timestamptz,
  unique (run_id, step)
);
comment on table public.agent_audit_log is 'Steps that agents took for users: written once, by the service alone.';
comment on column public.agent_audit_log.user_id is 'For whom, if anybody; the row outlives the account.';
comment on column public.agent_audit_log.run_id is 'The same for all steps of one run.';
comment on column public.agent_audit_log.input_digest is 'SHA-256 of what went in; the content is not kept here.';
comment on column public.agent_audit_log.output_digest is 'SHA-256 of what came out.';
create index agent_audit_log_org on public.agent_audit_log (org_id, started_at);
create index agent_audit_log_user on public.agent_audit_log (user_id, started_at);

alter table public.agent_audit_log enable row level security;
revoke all on table public.agent_audit_log from public, anon, authenticated, service_role;
grant select, insert on table public.agent_audit_log to service_role;

grant select on table public.agent_audit_log to authenticated;
create policy "steps for oneself, and those of the organizations one runs, are visible" on public.agent_audit_log
  for select to authenticated using (
    user_id = (select auth.uid())
    or org_id = any ((select private.orgs_with_permission('audit:read'))::uuid[])
  );
