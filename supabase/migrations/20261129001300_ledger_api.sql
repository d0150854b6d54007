-- What the edge calls: applying operations to one account, and looking after accounts that nobody touches.

create function private.ledger_write(kept private.ledger_state)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update private.ledger_accounts
  set
    seen = kept.seen, due = kept.due, counters = kept.counters, calls = kept.calls, ruled = kept.ruled,
    sweep_at = kept.sweep_at
  where number = kept.number;
end
$$;
comment on function private.ledger_write(private.ledger_state) is 'Writes an account''s numbers down.';

create function private.store_ledger_records(ended text[], records text[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  ordered constant integer[] := array(select i from generate_subscripts(ended, 1) i order by ended[i] collate "C", i);
  i integer;
  stored integer;
begin
  -- In the order of ids, which are the calls', so that no two callers wait for each other.
  foreach i in array ordered loop
    begin
      stored := private.insert_llm_usage(jsonb_build_array(records[i]::jsonb));
    exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
      -- What was charged stays charged; and a call that cannot be ended would be tried for ever.
      raise warning 'a row for the accounts was refused: %', sqlerrm using detail = ended[i];
      insert into private.ledger_refused_records (call, record, reason)
      values (ended[i], left(records[i], 10000), left(sqlerrm, 1000));
      delete from private.ledger_refused_records where id in (
        select id from private.ledger_refused_records
        where id <= (select max(id) - 10000 from private.ledger_refused_records)
        for update skip locked
      );
    end;
  end loop;
end
$$;
comment on function private.store_ledger_records(text[], text[]) is
  'Stores the rows of calls that have ended. One that breaks a rule is kept in private.ledger_refused_records.';

create function private.expire_ledger(
  most integer, besides bigint, out looked_at integer, out ended text[], out records text[]
)
language plpgsql
set search_path = ''
as $$
declare
  kept private.ledger_state;
  present numeric := floor(extract(epoch from clock_timestamp()) * 1000000000);
begin
  looked_at := 0;
  ended := '{}';
  records := '{}';
  -- Whoever has locked an account looks at it himself: nobody is waited for.
  for kept in
    select number, seen, due, counters, calls, ruled, sweep_at, false, null::jsonb, '{}'::text[], '{}'::text[]
    from private.ledger_accounts
    where due <= present and number is distinct from besides
    order by due
    limit most
    for update skip locked
  loop
    -- Once it is ours: nobody has seen a later time.
    present := floor(extract(epoch from clock_timestamp()) * 1000000000);
    kept := private.ledger_arrive(kept, present);
    if kept.calls = 0 and kept.ruled = 0 and not exists (
      select from private.ledger_counters c where account = kept.number and not private.ledger_is_idle(c, present)
    ) then
      delete from private.ledger_counters where account = kept.number;
      delete from private.ledger_accounts where number = kept.number;
    else
      perform private.ledger_write(kept);
    end if;
    looked_at := looked_at + 1;
    ended := ended || kept.ended;
    records := records || kept.records;
  end loop;
end
$$;
comment on function private.expire_ledger(integer, bigint) is
  'Looks at so many accounts that are due, besides one: charges calls whose time is over, and sweeps out what is idle.';

create function api.apply_to_ledger(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  wanted text := payload ->> 'account';
  operations jsonb := payload -> 'operations';
  kept private.ledger_state;
  others record;
  is_new boolean := false;
  present numeric;
  outcomes jsonb := '[]';
begin
  if coalesce(char_length(wanted), 0) not between 1 and 200 then
    raise sqlstate 'PT400' using message = 'account must be a text of 1 to 200 characters', detail = 'account';
  end if;
  if jsonb_typeof(operations) is distinct from 'array' or jsonb_array_length(operations) > 1000 then
    raise sqlstate 'PT400' using message = 'operations must be an array of at most 1,000', detail = 'operations';
  end if;
  -- Until the row is there and ours alone; somebody may sweep it out in between.
  loop
    select number, seen, due, counters, calls, ruled, sweep_at, false, null::jsonb, '{}'::text[], '{}'::text[] into kept
    from private.ledger_accounts where account = wanted for update;
    exit when found;
    insert into private.ledger_accounts (account) values (wanted) on conflict do nothing;
    is_new := true;
  end loop;
  -- The database's own clock, read once nobody else can change the account: no caller says what time it is.
  present := floor(extract(epoch from clock_timestamp()) * 1000000000);
  for i in 0..jsonb_array_length(operations) - 1 loop
    kept := private.ledger_operate(kept, present, operations -> i);
    outcomes := outcomes || kept.outcome;
  end loop;
  perform private.ledger_write(kept);
  -- Whoever adds an account looks at more than one that is due, so that they do not accumulate.
  if is_new then
    others := private.expire_ledger(10, kept.number);
    kept.ended := kept.ended || others.ended;
    kept.records := kept.records || others.records;
    kept.binding := true;
  end if;
  if cardinality(kept.ended) > 0 then
    perform private.store_ledger_records(kept.ended, kept.records);
  end if;
  -- Rates alone need not be on disk before the answer: who forgets the last ones grants that much again.
  if not kept.binding then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  return jsonb_build_object('outcomes', outcomes);
end
$$;
comment on function api.apply_to_ledger(jsonb) is
  'Applies operations to one account, in their order, each by itself, and stores the rows of calls that ended by it. '
  'PT400 names the argument that is wrong.';
revoke all on function api.apply_to_ledger(jsonb) from public;
grant execute on function api.apply_to_ledger(jsonb) to service_role;

create function api.expire_ledger(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  done record;
begin
  done := private.expire_ledger(private.read_whole(payload, 'accounts', 100, 1, 1000)::integer, null);
  if cardinality(done.ended) > 0 then
    perform private.store_ledger_records(done.ended, done.records);
  end if;
  return jsonb_build_object('accounts', done.looked_at, 'records', cardinality(done.ended));
end
$$;
comment on function api.expire_ledger(jsonb) is
  'Looks at up to so many accounts (100) that are due: calls of which nothing was heard until their time was over are '
  'charged and recorded, and idle accounts swept out. To be called now and then, for accounts that nobody touches.';

revoke all on function api.expire_ledger(jsonb) from public;
grant execute on function api.expire_ledger(jsonb) to service_role;

-- Of the internals, for both files: whoever may apply operations calls them.
do $$
declare
  internal regprocedure;
begin
  for internal in
    select oid from pg_catalog.pg_proc
    where pronamespace = 'private'::regnamespace and proname ~ '(^|_)ledger(_|$)'
  loop
    execute format('revoke all on function %s from public', internal);
    execute format('grant execute on function %s to service_role', internal);
  end loop;
end
$$;
