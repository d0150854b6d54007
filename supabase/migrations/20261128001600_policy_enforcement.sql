-- What the platform's policies decided.

create table public.policy_enforcement (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organizations (id) on delete cascade,
  user_id uuid,
  policy text not null check (policy ~ '^[a-z][a-z0-9_.-]{0,99}$'),
  decision text not null check (decision in ('allow', 'warn', 'deny')),
  action text not null check (char_length(action) between 1 and 100),
  subject text check (char_length(subject) <= 200),
  reason text check (char_length(reason) <= 1000),
  details jsonb not null default '{}' check (jsonb_typeof(details) = 'object' and octet_length(details::text) <= 16384),
  request_id text check (char_length(request_id) <= 200),
  decided_at timestamptz not null default now()
);
comment on table public.policy_enforcement is 'Decisions of the platform''s policies about what somebody wanted to do.';
comment on column public.policy_enforcement.user_id is 'Who wanted it, if anybody; the row outlives the account.';
comment on column public.policy_enforcement.subject is 'On what, such as the id of a capsule.';
create index policy_enforcement_org on public.policy_enforcement (org_id, decided_at);

alter table public.policy_enforcement enable row level security;
revoke all on table public.policy_enforcement from public, anon, authenticated, service_role;
-- Decisions are not taken back.
grant select, insert on table public.policy_enforcement to service_role;

grant select on table public.policy_enforcement to authenticated;
create policy "decisions are seen by those who may" on public.policy_enforcement
  for select to authenticated using (org_id = any ((select private.orgs_with_permission('policies:read'))::uuid[]));
