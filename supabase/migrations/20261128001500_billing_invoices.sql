-- What organizations are to pay.

create table public.billing_invoices (
  id uuid primary key default gen_random_uuid(),
  org_id uuid references public.organizations (id) on delete set null,
  number text not null unique check (char_length(number) between 1 and 40),
  status text not null default 'draft' check (status in ('draft', 'open', 'paid', 'void', 'uncollectible')),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  total_minor bigint not null check (total_minor >= 0),
  lines jsonb not null default '[]' check (jsonb_typeof(lines) = 'array'),
  period_start date not null,
  period_end date not null,
  issued_at timestamptz,
  due_at timestamptz,
  paid_at timestamptz,
  created_at timestamptz not null default now(),
  check (period_start <= period_end)
);
comment on table public.billing_invoices is 'Invoices, written by the service alone; they outlive the organization.';
comment on column public.billing_invoices.org_id is 'Null if the organization is gone.';
comment on column public.billing_invoices.currency is 'ISO 4217.';
comment on column public.billing_invoices.total_minor is 'In the currency''s smallest unit, such as cents.';
comment on column public.billing_invoices.period_end is 'The last day that is charged.';
create index billing_invoices_org on public.billing_invoices (org_id, period_start);

alter table public.billing_invoices enable row level security;
revoke all on table public.billing_invoices from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.billing_invoices to service_role;

grant select on table public.billing_invoices to authenticated;
create policy "issued invoices are seen by those who may" on public.billing_invoices
  for select to authenticated using (
    org_id = any ((select private.orgs_with_permission('billing:read'))::uuid[]) and status <> 'draft'
  );
