-- The ledger: rates, budgets and calls under way of one account, for hosts that have nothing of their own that counts
-- exactly across instances. What happens to them is decided as `shared/quota/src/account.rs` does, to the nanosecond:
-- tests apply the same random operations to both. Times are nanoseconds since the epoch; numbers go to 2^64 - 1.
--
-- Rows change in place (no index on what changes often, room on each page), so that nothing accumulates. What changes
-- with every request has no constraints that would be checked each time: only the functions write it, and they check
-- once.

create table private.ledger_accounts (
  number bigint generated always as identity primary key,
  account text collate "C" not null unique,
  seen numeric not null default 0,
  due numeric not null default 0,
  counters integer not null default 0,
  calls integer not null default 0,
  ruled integer not null default 0,
  sweep_at integer not null default 0
) with (fillfactor = 50);
comment on table private.ledger_accounts is
  'One row per account in use. Whoever changes anything of an account has locked its row.';
comment on column private.ledger_accounts.seen is 'The latest time seen.';
comment on column private.ledger_accounts.due is
  'When it should be looked at, at the latest: a call is due, or the account may be idle and can go.';
comment on column private.ledger_accounts.counters is 'How many counters it has.';
comment on column private.ledger_accounts.calls is 'How many calls it has.';
comment on column private.ledger_accounts.ruled is 'For how many subjects it keeps rules.';
comment on column private.ledger_accounts.sweep_at is
  'How many counters there may be before those not in use are swept out.';
create index ledger_accounts_due on private.ledger_accounts (due);

create table private.ledger_counters (
  account bigint not null,
  name text collate "C" not null,
  kind "char" not null,
  arrival numeric not null default 0,
  spacing numeric not null default 0,
  start numeric not null default 0,
  spent numeric not null default 0,
  held numeric not null default 0,
  primary key (account, name)
) with (fillfactor = 50);
comment on table private.ledger_counters is 'What each rule has counted, by subject and name of the rule.';
comment on column private.ledger_counters.account is
  'Refers to ledger_accounts; no constraint, because checking it would cost as much as the change.';
comment on column private.ledger_counters.kind is '`r` a rate, `b` a budget, `o` calls at the same time.';
comment on column private.ledger_counters.arrival is 'Of a rate: the theoretical arrival time of GCRA (ITU-T I.371).';
comment on column private.ledger_counters.spacing is 'Of a rate: the nanoseconds per unit by which it was counted.';
comment on column private.ledger_counters.start is 'Of a budget: the first second of its period.';
comment on column private.ledger_counters.spent is 'Of a budget: what was spent in its period.';
comment on column private.ledger_counters.held is 'What open calls hold of it; of a rate that is taken already.';

create type private.ledger_share as (counter text, unit text, reserved numeric, kind "char", mark numeric);
comment on type private.ledger_share is
  'What a call holds of one counter; mark is the start of a budget and the spacing of a rate.';

create table private.ledger_calls (
  account bigint not null,
  id text collate "C" not null check (char_length(id) between 1 and 200),
  stage text not null check (stage in ('open', 'expired', 'closed')),
  due numeric not null,
  shares private.ledger_share[] not null default '{}',
  record text,
  primary key (account, id)
) with (fillfactor = 80);
comment on table private.ledger_calls is 'Calls under way, and calls and corrections that are remembered.';
comment on column private.ledger_calls.stage is
  '`open`; `expired`: charged as reserved, it may still report; `closed`: kept so that a repetition changes nothing.';
comment on column private.ledger_calls.due is 'When it expires, or is forgotten.';
comment on column private.ledger_calls.record is 'The row for the accounts, should it expire: JSON.';
create index ledger_calls_due on private.ledger_calls (account, due);

create table private.ledger_rules (
  account bigint not null,
  subject text collate "C" not null check (char_length(subject) <= 200),
  rules jsonb not null,
  primary key (account, subject)
);
comment on table private.ledger_rules is
  'Rules that an account keeps for a subject, in place of those of the same name that come with a request.';

create table private.ledger_refused_records (
  id bigint generated always as identity primary key,
  call text not null,
  record text not null,
  reason text not null,
  refused_at timestamptz not null default now()
);
comment on table private.ledger_refused_records is
  'Rows for the accounts that public.llm_usage would not take, for an operator to look at: the call was charged, and '
  'its row is missing. At most the last 10,000, each cut off after 10,000 characters.';

alter table private.ledger_accounts enable row level security;
alter table private.ledger_counters enable row level security;
alter table private.ledger_calls enable row level security;
alter table private.ledger_rules enable row level security;
alter table private.ledger_refused_records enable row level security;
revoke all on table
  private.ledger_accounts, private.ledger_counters, private.ledger_calls, private.ledger_rules,
  private.ledger_refused_records
  from public, anon, authenticated, service_role;
grant select, insert, update, delete on table
  private.ledger_accounts, private.ledger_counters, private.ledger_calls, private.ledger_rules,
  private.ledger_refused_records
  to service_role;
