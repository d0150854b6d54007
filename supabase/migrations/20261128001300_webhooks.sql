-- Where an organization wants to hear of events.

create table public.webhooks (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organizations (id) on delete cascade,
  url text not null check (char_length(url) <= 2048 and url ~ '^https://[^\s]+$'),
  events text[] not null check (
    cardinality(events) between 1 and 50 and array_position(events, null) is null
    and array_to_string(events, ' ') ~ '^([a-z_]{1,40}\.[a-z_]{1,40}( |$))+$'
  ),
  secret bytea check (octet_length(secret) between 1 and 512),
  previous_secret bytea check (octet_length(previous_secret) between 1 and 512),
  enabled boolean not null default true,
  disabled_reason text check (char_length(disabled_reason) <= 200),
  created_by uuid default auth.uid() references auth.users (id) on delete set null,
  created_at timestamptz not null default now()
);
comment on table public.webhooks is 'Endpoints of organizations, and the events that they want to hear of.';
comment on column public.webhooks.events is 'Each is `thing.happened`.';
comment on column public.webhooks.secret is
  'What deliveries are signed with, encrypted by the edge; never shown to anyone.';
comment on column public.webhooks.previous_secret is 'Signs too while the secret is being rotated.';
comment on column public.webhooks.disabled_reason is 'Why the edge turned it off, if it did.';
create index webhooks_org on public.webhooks (org_id, created_at);
create index webhooks_created_by on public.webhooks (created_by);

alter table public.webhooks enable row level security;
revoke all on table public.webhooks from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.webhooks to service_role;

grant select (id, org_id, url, events, enabled, disabled_reason, created_by, created_at),
  insert (org_id, url, events, secret, enabled), update (url, events, secret, previous_secret, enabled), delete
  on table public.webhooks to authenticated;
create policy "webhooks are seen by those who may" on public.webhooks
  for select to authenticated using (org_id = any ((select private.orgs_with_permission('webhooks:read'))::uuid[]));
create policy "webhooks are made by those who may" on public.webhooks
  for insert to authenticated
  with check (org_id = any ((select private.orgs_with_permission('webhooks:write'))::uuid[]));
create policy "webhooks are changed by those who may" on public.webhooks
  for update to authenticated
  using (org_id = any ((select private.orgs_with_permission('webhooks:write'))::uuid[]))
  with check (org_id = any ((select private.orgs_with_permission('webhooks:write'))::uuid[]));
create policy "webhooks are deleted by those who may" on public.webhooks
  for delete to authenticated
  using (org_id = any ((select private.orgs_with_permission('webhooks:write'))::uuid[]));

create trigger audit_change after insert or update or delete on public.webhooks
  for each row execute function private.audit_change('webhook', 'url', 'events', 'enabled');
