-- What an operation does to an account whose row the caller has locked. The account's numbers go in and come out as one
-- value; the caller writes them down.

create type private.ledger_state as (
  number bigint,
  seen numeric,
  due numeric,
  counters integer,
  calls integer,
  ruled integer,
  sweep_at integer,
  -- Whether money, calls or rules changed, which must not be lost; a rate that is lost grants that much again.
  binding boolean,
  outcome jsonb,
  -- Calls that ended, and their rows for the accounts.
  ended text[],
  records text[]
);
comment on type private.ledger_state is 'An account while its row is locked.';

create type private.ledger_wish as (
  subject text,
  rule jsonb,
  unit text,
  per text,
  units numeric,
  quantity numeric,
  burst numeric,
  admits boolean,
  -- The counter, as it is or would be.
  name text,
  kind "char",
  arrival numeric,
  spacing numeric,
  start numeric,
  spent numeric,
  held numeric
);
comment on type private.ledger_wish is
  'One rule of one subject, how much is wished of it and whether that would keep to the rule, and its counter.';

create function private.ledger_done()
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  return '{"decided": {"allowed": true, "standings": []}}';
end
$$;
comment on function private.ledger_done() is 'The outcome of an operation that has no subjects.';

create function private.ledger_text(value jsonb, field text, most integer)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  if jsonb_typeof(value) is distinct from 'string' or char_length(value #>> '{}') not between 1 and most then
    raise sqlstate 'PT400' using
      message = format('%s must be a text of 1 to %s characters', field, most), detail = field;
  end if;
  return value #>> '{}';
end
$$;
comment on function private.ledger_text(jsonb, text, integer) is 'A text within an operation; it must be there.';

create function private.ledger_number(value jsonb, field text, lowest numeric default 0)
returns numeric
language plpgsql
immutable
set search_path = ''
as $$
declare
  found numeric;
begin
  if jsonb_typeof(value) = 'number' then
    found := trunc(value::numeric);
    if found = value::numeric and found >= lowest and found <= 18446744073709551615 then
      return found;
    end if;
  end if;
  raise sqlstate 'PT400' using message = format('%s must be a whole number', field), detail = field;
end
$$;
comment on function private.ledger_number(jsonb, text, numeric) is
  'A whole number within an operation; it must be there.';

create function private.ledger_period(per text, second numeric, out start numeric, out ends numeric)
language plpgsql
immutable
set search_path = ''
as $$
declare
  month timestamp;
begin
  if per = 'day' then
    start := second - second % 86400;
    ends := start + 86400;
  else
    month := date_trunc('month', to_timestamp(second::double precision) at time zone 'UTC');
    start := trunc(extract(epoch from month));
    ends := trunc(extract(epoch from month + interval '1 month'));
  end if;
end
$$;
comment on function private.ledger_period(text, numeric) is
  'The day or month (UTC) that contains a second: its first second, and the one after its last.';

create function private.ledger_rule(rule jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  if ((rule ->> 'limit') || ' ' || (rule ->> 'unit') || ' ' || coalesce(rule #>> '{per,seconds}', rule ->> 'per')
    ~ '^\d{1,20} (requests|tokens|nano_usd) (\d{1,20}|day|month|moment)$') is not true
    or coalesce(char_length(rule ->> 'name'), 0) not between 1 and 100
  then
    raise sqlstate 'PT400' using message = 'a rule has a name, a unit, a per and a limit', detail = 'rules';
  end if;
  return rule;
end
$$;
comment on function private.ledger_rule(jsonb) is 'A rule within an operation; refuses what is none.';

create function private.ledger_wish_of(number bigint, present numeric, subject text, rule jsonb, amounts jsonb)
returns private.ledger_wish
language plpgsql
set search_path = ''
as $$
declare
  most constant numeric := 18446744073709551615;
  wish private.ledger_wish;
  kept record;
begin
  wish.subject := subject;
  wish.rule := private.ledger_rule(rule);
  wish.name := subject || ' ' || (rule ->> 'name');
  wish.unit := rule ->> 'unit';
  wish.per := coalesce(rule #>> '{per,seconds}', rule ->> 'per');
  wish.units := (rule ->> 'limit')::numeric;
  wish.quantity := (amounts ->> wish.unit)::numeric;
  wish.arrival := 0;
  wish.spacing := 0;
  wish.start := 0;
  wish.spent := 0;
  wish.held := 0;
  case
    when wish.per in ('day', 'month') then
      wish.kind := 'b';
      wish.start := (private.ledger_period(wish.per, div(present, 1000000000))).start;
    when wish.per = 'moment' then
      wish.kind := 'o';
      wish.quantity := least((amounts ->> 'requests')::numeric, 1);
    else
      wish.kind := 'r';
      -- Nanoseconds per unit, rounded up so that the limit is never exceeded.
      wish.spacing := greatest(wish.per::numeric, 1);
      wish.spacing := least(wish.spacing * 1000000000, most) + greatest(wish.units, 1) - 1;
      wish.spacing := div(wish.spacing, greatest(wish.units, 1));
      wish.burst := least(wish.spacing * greatest(wish.units, 1), most);
      wish.arrival := present;
  end case;

  select kind, arrival, spacing, start, spent, held into kept
  from private.ledger_counters where account = number and name = wish.name;
  if found then
    if kept.kind = wish.kind and (kept.kind = 'o' or kept.spacing = wish.spacing and kept.start >= wish.start) then
      wish.arrival := kept.arrival;
      wish.start := kept.start;
      wish.spent := kept.spent;
      wish.held := kept.held;
    else
      -- Another limit: what was taken stays taken. Another period, or another kind of rule: all begins anew.
      if kept.kind = 'r' and wish.kind = 'r' then
        wish.arrival := greatest(kept.arrival - present, 0) * wish.spacing + greatest(kept.spacing, 1) - 1;
        wish.arrival := least(present + least(div(wish.arrival, greatest(kept.spacing, 1)), most), most);
      end if;
      update private.ledger_counters
      set
        kind = wish.kind, arrival = wish.arrival, spacing = wish.spacing, start = wish.start, spent = 0, held = 0
      where account = number and name = wish.name;
    end if;
  end if;
  wish.admits := case wish.kind
    when 'r' then
      greatest(wish.arrival, present) + wish.spacing * wish.quantity <= least(present + wish.burst, most)
    else least(wish.spent + wish.held + wish.quantity, most) <= wish.units
  end;
  return wish;
end
$$;
comment on function private.ledger_wish_of(bigint, numeric, text, jsonb, jsonb) is
  'A rule with its counter, which is brought to the rule''s limit and period.';

create function private.ledger_wishes(
  kept private.ledger_state, present numeric, subjects jsonb, amounts jsonb, takes boolean
)
returns private.ledger_wish[]
language plpgsql
set search_path = ''
as $$
declare
  wishes private.ledger_wish[] := '{}';
  wish private.ledger_wish;
  names text[] := '{}';
  who text;
  given jsonb;
  own jsonb;
begin
  if jsonb_typeof(subjects) is distinct from 'array' or jsonb_array_length(subjects) > 100 then
    raise sqlstate 'PT400' using message = 'subjects must be an array of at most 100', detail = 'subjects';
  end if;
  for i in 0..jsonb_array_length(subjects) - 1 loop
    who := subjects -> i ->> 'name';
    if coalesce(char_length(who), 0) not between 1 and 200 then
      raise sqlstate 'PT400' using message = 'a subject has a name of 1 to 200 characters', detail = 'subjects';
    end if;
    given := subjects -> i -> 'rules';
    if jsonb_typeof(given) is distinct from 'array' or jsonb_array_length(given) > 100 then
      raise sqlstate 'PT400' using message = 'rules must be an array of at most 100', detail = 'rules';
    end if;
    if kept.ruled > 0 then
      select rules into own from private.ledger_rules where account = kept.number and subject = who;
      -- First, so that they take the place of those of the same name.
      given := coalesce(own, '[]') || given;
    end if;
    for j in 0..jsonb_array_length(given) - 1 loop
      -- A counter that is named twice counts once.
      continue when who || ' ' || (given -> j ->> 'name') = any (names);
      wish := private.ledger_wish_of(kept.number, present, who, given -> j, amounts);
      names := names || wish.name;
      -- What is held at the same time is held by calls alone.
      continue when takes and wish.kind = 'o';
      wishes := wishes || wish;
    end loop;
  end loop;
  return wishes;
end
$$;
comment on function private.ledger_wishes(private.ledger_state, numeric, jsonb, jsonb, boolean) is
  'The rules of all subjects, the kept ones in place of the others.';

create function private.ledger_amounts(amounts jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  amounts := '{"requests": 0, "tokens": 0, "nano_usd": 0}' || amounts;
  if ((amounts ->> 'requests') || ' ' || (amounts ->> 'tokens') || ' ' || (amounts ->> 'nano_usd')
    ~ '^\d{1,20} \d{1,20} \d{1,20}$') is not true
  then
    raise sqlstate 'PT400' using message = 'an amount must be a whole number', detail = 'amounts';
  end if;
  return amounts;
end
$$;
comment on function private.ledger_amounts(jsonb) is 'How much of each unit; nothing where nothing is said.';

create function private.ledger_standing(wish private.ledger_wish, present numeric)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
  most constant numeric := 18446744073709551615;
  remaining numeric := greatest(wish.units - least(wish.spent + wish.held, most), 0);
  resets numeric := 0;
  retry numeric := 0;
begin
  case wish.kind
    when 'r' then
      resets := greatest(wish.arrival - present, 0);
      remaining := div(greatest(wish.burst - resets, 0), wish.spacing);
      retry := greatest(least(resets + least(wish.spacing * wish.quantity, most), most) - wish.burst, 0);
    when 'b' then
      resets := (private.ledger_period(wish.per, wish.start)).ends * 1000000000;
      resets := greatest(least(resets, most) - present, 0);
      retry := case when least(wish.spent + wish.held + wish.quantity, most) <= wish.units then 0 else resets end;
    else
      -- When a call ends nobody knows: a second is when it is worth asking again.
      retry := case when least(wish.held + wish.quantity, most) <= wish.units then 0 else 1000000000 end;
  end case;
  return jsonb_build_object(
    'subject', wish.subject, 'rule', wish.rule, 'remaining', remaining, 'reset_after', resets,
    'retry_after', case when wish.quantity <= wish.units then retry end
  );
end
$$;
comment on function private.ledger_standing(private.ledger_wish, numeric) is 'Where a rule stands.';

create function private.ledger_make_room(kept private.ledger_state, present numeric, wanted integer)
returns private.ledger_state
language plpgsql
set search_path = ''
as $$
begin
  delete from private.ledger_counters c where account = kept.number and private.ledger_is_idle(c, present);
  select count(*) into kept.counters from private.ledger_counters where account = kept.number;
  kept.sweep_at := least((kept.counters + wanted) * 2, 50000);
  return kept;
end
$$;
comment on function private.ledger_make_room(private.ledger_state, numeric, integer) is
  'Sweeps out counters that are not in use.';

create function private.ledger_is_idle(counter private.ledger_counters, present numeric)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
  return case counter.kind
    when 'r' then counter.arrival <= present
    -- No budget lasts longer than a month.
    when 'b' then counter.spent + counter.held = 0 or counter.start + 32 * 86400 < div(present, 1000000000)
    else counter.held = 0
  end;
end
$$;
comment on function private.ledger_is_idle(private.ledger_counters, numeric) is
  'Whether nothing is lost if it is forgotten.';

create function private.ledger_admit(
  kept private.ledger_state, present numeric, subjects jsonb, amounts jsonb, reservation jsonb
)
returns private.ledger_state
language plpgsql
set search_path = ''
as $$
declare
  most constant numeric := 18446744073709551615;
  amounts constant jsonb := private.ledger_amounts(amounts);
  holding constant boolean := reservation is not null;
  takes constant boolean := not holding and amounts <> '{"requests": 0, "tokens": 0, "nano_usd": 0}';
  looks boolean := not holding and not takes;
  is_known boolean := false;
  is_allowed boolean := true;
  wishes private.ledger_wish[] := private.ledger_wishes(kept, present, subjects, amounts, takes);
  wish private.ledger_wish;
  shares private.ledger_share[] := '{}';
  standings jsonb := '[]';
  call_id text;
  expires numeric;
begin
  if holding then
    call_id := private.ledger_text(reservation -> 'id', 'id', 200);
    expires := least(present + private.ledger_number(reservation -> 'expires_after', 'expires_after'), most);
    is_known := exists (select from private.ledger_calls where account = kept.number and id = call_id);
    if not is_known and kept.calls >= 50000 then
      kept.outcome := '"full"';
      return kept;
    end if;
    looks := is_known;
  end if;
  if not looks then
    if kept.counters + cardinality(wishes) > greatest(kept.sweep_at, 256) then
      kept := private.ledger_make_room(kept, present, cardinality(wishes));
    end if;
    if kept.counters + cardinality(wishes) > 50000 then
      kept.outcome := '"full"';
      return kept;
    end if;
  end if;

  foreach wish in array wishes loop
    is_allowed := is_allowed and wish.admits;
  end loop;
  foreach wish in array wishes loop
    if is_allowed and not looks then
      if wish.kind = 'r' then
        wish.arrival := least(greatest(wish.arrival, present) + wish.spacing * wish.quantity, most);
      elsif holding then
        wish.held := least(wish.held + wish.quantity, most);
      else
        wish.spent := least(wish.spent + wish.quantity, most);
        kept.binding := true;
      end if;
      update private.ledger_counters set arrival = wish.arrival, spent = wish.spent, held = wish.held
      where account = kept.number and name = wish.name;
      if not found then
        insert into private.ledger_counters (account, name, kind, arrival, spacing, start, spent, held)
        values (
          kept.number, wish.name, wish.kind, wish.arrival, wish.spacing, wish.start, wish.spent, wish.held
        );
        kept.counters := kept.counters + 1;
      end if;
      if holding then
        shares := shares || row(
          wish.name, wish.unit, wish.quantity, wish.kind, case wish.kind when 'r' then wish.spacing else wish.start end
        )::private.ledger_share;
      end if;
    end if;
    standings := standings || private.ledger_standing(wish, present);
  end loop;

  if holding and is_allowed and not is_known then
    kept := private.ledger_remember(kept, call_id, 'open', expires, shares, reservation ->> 'record');
  end if;
  kept.outcome := jsonb_build_object(
    'decided', jsonb_build_object('allowed', is_allowed or is_known, 'standings', standings)
  );
  return kept;
end
$$;
comment on function private.ledger_admit(private.ledger_state, numeric, jsonb, jsonb, jsonb) is
  'Takes from every rule of every subject, or from none; for good, or to be held by a call.';

create function private.ledger_remember(
  kept private.ledger_state, call_id text, stage text, due numeric, shares private.ledger_share[], record text
)
returns private.ledger_state
language plpgsql
set search_path = ''
as $$
begin
  insert into private.ledger_calls (account, id, stage, due, shares, record)
  values (kept.number, call_id, stage, due, shares, record);
  kept.calls := kept.calls + 1;
  kept.due := least(kept.due, due);
  kept.binding := true;
  return kept;
end
$$;
comment on function private.ledger_remember(
  private.ledger_state, text, text, numeric, private.ledger_share[], text
) is 'A call, or a correction, that is new.';

create function private.ledger_settle(
  kept private.ledger_state, present numeric, call_id text, actual jsonb, record text
)
returns private.ledger_state
language plpgsql
set search_path = ''
as $$
declare
  most constant numeric := 18446744073709551615;
  amounts constant jsonb := private.ledger_amounts(coalesce(actual, '{}'));
  forgotten_at constant numeric := least(present + 600000000000, most);
  call private.ledger_calls;
  share private.ledger_share;
  used numeric;
begin
  select * into call from private.ledger_calls where account = kept.number and id = call_id;
  if not found then
    kept.outcome := '"unknown"';
    return kept;
  end if;
  kept.outcome := private.ledger_done();
  if call.stage = 'closed' then
    return kept;
  end if;

  foreach share in array call.shares loop
    -- What was never begun is as if it had not been asked for; otherwise requests stay counted.
    used := case
      when actual is null then 0
      when share.unit = 'requests' then share.reserved
      else (amounts ->> share.unit)::numeric
    end;
    update private.ledger_counters
    set
      arrival = case
        when share.kind <> 'r' then arrival
        when used > share.reserved then least(greatest(arrival, present) + spacing * (used - share.reserved), most)
        else greatest(arrival - spacing * (share.reserved - used), 0)
      end,
      -- What has expired is spent already; and if the budget's period is over, that is that.
      held = case
        when share.kind = 'r' or start <> share.mark or call.stage = 'expired' then held
        else greatest(held - share.reserved, 0)
      end,
      spent = case
        when share.kind <> 'b' or start <> share.mark then spent
        when call.stage = 'expired' then least(greatest(spent - share.reserved, 0) + used, most)
        else least(spent + used, most)
      end
    where account = kept.number and name = share.counter and kind = share.kind;
    if not found then
      -- What is left of a counter that has been swept out, unless another kind of rule has its name.
      insert into private.ledger_counters (account, name, kind, arrival, spacing, start, spent)
      values (
        kept.number, share.counter, share.kind,
        case share.kind when 'r' then least(present + share.mark * greatest(used - share.reserved, 0), most) else 0 end,
        case share.kind when 'r' then share.mark else 0 end,
        case share.kind when 'r' then 0 else share.mark end,
        case share.kind when 'b' then used else 0 end
      )
      on conflict do nothing;
      kept.counters := kept.counters + found::integer;
    end if;
  end loop;

  update private.ledger_calls
  set stage = 'closed', shares = '{}', record = null, due = forgotten_at
  where account = kept.number and id = call_id;
  kept.due := least(kept.due, forgotten_at);
  kept.binding := true;
  if ledger_settle.record is not null then
    kept.ended := kept.ended || call_id;
    kept.records := kept.records || ledger_settle.record;
  end if;
  return kept;
end
$$;
comment on function private.ledger_settle(private.ledger_state, numeric, text, jsonb, text) is
  'Ends a call with what it used: what it held beyond that is given back, what it used beyond that is owed. Requests '
  'stay counted.';

create function private.ledger_adjust(
  kept private.ledger_state, present numeric, correction text, counter text, by numeric
)
returns private.ledger_state
language plpgsql
set search_path = ''
as $$
declare
  most constant numeric := 18446744073709551615;
begin
  kept.outcome := private.ledger_done();
  if exists (select from private.ledger_calls where account = kept.number and id = correction) then
    return kept;
  end if;
  if kept.calls >= 50000 then
    kept.outcome := '"full"';
    return kept;
  end if;
  update private.ledger_counters c
  set
    arrival = case kind when 'r' then least(greatest(arrival + spacing * by, 0), most) else arrival end,
    spent = case kind when 'b' then least(greatest(spent + by, 0), most) else spent end
  where account = kept.number and name = counter and not private.ledger_is_idle(c, present);
  if not found then
    kept.outcome := '"unknown"';
    return kept;
  end if;
  return private.ledger_remember(kept, correction, 'closed', least(present + 600000000000, most), '{}', null);
end
$$;
comment on function private.ledger_adjust(private.ledger_state, numeric, text, text, numeric) is
  'Corrects what was spent, once.';

create function private.ledger_set_rules(kept private.ledger_state, subject text, rules jsonb)
returns private.ledger_state
language plpgsql
set search_path = ''
as $$
declare
  is_kept boolean;
  checked jsonb := '[]';
begin
  if jsonb_typeof(rules) is distinct from 'array' or jsonb_array_length(rules) > 100 then
    raise sqlstate 'PT400' using message = 'rules must be an array of at most 100', detail = 'rules';
  end if;
  for i in 0..jsonb_array_length(rules) - 1 loop
    checked := checked || private.ledger_rule(rules -> i);
  end loop;
  is_kept := exists (
    select from private.ledger_rules r where account = kept.number and r.subject = ledger_set_rules.subject
  );
  kept.outcome := private.ledger_done();
  kept.binding := true;
  if jsonb_array_length(rules) = 0 then
    delete from private.ledger_rules r where account = kept.number and r.subject = ledger_set_rules.subject;
    kept.ruled := kept.ruled - is_kept::integer;
  elsif is_kept then
    update private.ledger_rules r set rules = checked
    where account = kept.number and r.subject = ledger_set_rules.subject;
  elsif kept.ruled >= 50000 then
    kept.outcome := '"full"';
  else
    insert into private.ledger_rules (account, subject, rules) values (kept.number, subject, checked);
    kept.ruled := kept.ruled + 1;
  end if;
  return kept;
end
$$;
comment on function private.ledger_set_rules(private.ledger_state, text, jsonb) is
  'From now on the account keeps these rules of a subject; none, to go back to what comes with the requests.';

create function private.ledger_arrive(kept private.ledger_state, present numeric)
returns private.ledger_state
language plpgsql
set search_path = ''
as $$
declare
  most constant numeric := 18446744073709551615;
  back constant numeric := greatest(kept.seen - present, 0);
  expired private.ledger_calls[];
  forgotten integer;
begin
  kept.seen := present;
  if back > 0 then
    -- The clock went back, and all that is counted in time goes with it: nothing is granted and nobody has to wait for
    -- what he has waited for already.
    update private.ledger_counters set arrival = greatest(arrival - back, 0)
    where account = kept.number and kind = 'r';
    update private.ledger_calls set due = greatest(due - back, 0) where account = kept.number;
    kept.due := greatest(kept.due - back, 0);
  end if;
  if kept.due > present then
    return kept;
  end if;

  expired := array(
    select c from private.ledger_calls c where account = kept.number and due <= present and stage = 'open'
  );
  if cardinality(expired) > 0 then
    -- Charged as reserved. A rate is charged already, and of a period that is over nothing is held.
    update private.ledger_counters c
    set
      held = greatest(held - s.reserved, 0),
      spent = case s.kind when 'b' then least(spent + s.reserved, most) else spent end
    from (
      select counter, kind, mark, sum(reserved) as reserved
      from unnest(expired) call, unnest(call.shares)
      where kind <> 'r'
      group by counter, kind, mark
    ) s
    where c.account = kept.number and c.name = s.counter and c.kind = s.kind and c.start = s.mark;
    kept.ended := kept.ended || array(select id from unnest(expired) where record is not null);
    kept.records := kept.records || array(select record from unnest(expired) where record is not null);
    kept.binding := true;
    -- For an hour it may still report.
    update private.ledger_calls
    set stage = 'expired', record = null, due = least(due + 3600000000000, most)
    where account = kept.number and due <= present and stage = 'open';
  end if;
  delete from private.ledger_calls where account = kept.number and due <= present;
  get diagnostics forgotten = row_count;
  kept.calls := kept.calls - forgotten;
  kept.due := least(
    (select min(due) from private.ledger_calls where account = kept.number), present + 3600000000000
  );
  return kept;
end
$$;
comment on function private.ledger_arrive(private.ledger_state, numeric) is
  'Brings an account to the present: calls whose time is over are charged as reserved, and ended ones forgotten.';

create function private.ledger_operate(kept private.ledger_state, present numeric, operation jsonb)
returns private.ledger_state
language plpgsql
set search_path = ''
as $$
declare
  body jsonb;
begin
  if present < kept.seen or kept.due <= present then
    kept := private.ledger_arrive(kept, present);
  end if;
  kept.seen := present;
  if operation ? 'take' then
    body := operation -> 'take';
    return private.ledger_admit(kept, present, body -> 'subjects', body -> 'amounts', null);
  elsif operation ? 'reserve' then
    body := operation -> 'reserve';
    return private.ledger_admit(kept, present, body -> 'subjects', body -> 'amounts', body);
  elsif operation ? 'settle' then
    body := operation -> 'settle';
    return private.ledger_settle(
      kept, present, private.ledger_text(body -> 'id', 'id', 200), body -> 'actual', body ->> 'record'
    );
  elsif operation ? 'release' then
    body := operation -> 'release';
    return private.ledger_settle(
      kept, present, private.ledger_text(body -> 'id', 'id', 200), null, body ->> 'record'
    );
  elsif operation = '"expire"' then
    kept.outcome := private.ledger_done();
    return kept;
  elsif operation ? 'adjust' then
    body := operation -> 'adjust';
    return private.ledger_adjust(
      kept, present, private.ledger_text(body -> 'id', 'id', 200),
      private.ledger_text(body -> 'subject', 'subject', 200) || ' ' || private.ledger_text(body -> 'rule', 'rule', 100),
      private.ledger_number(body -> 'by', 'by', -9223372036854775808)
    );
  elsif operation ? 'set_rules' then
    body := operation -> 'set_rules';
    return private.ledger_set_rules(
      kept, private.ledger_text(body -> 'subject', 'subject', 200), body -> 'rules'
    );
  end if;
  raise sqlstate 'PT400' using message = 'there is no such operation', detail = 'operations';
end
$$;
comment on function private.ledger_operate(private.ledger_state, numeric, jsonb) is
  'Applies one operation at a present time, as Account::apply in shared/quota does.';
