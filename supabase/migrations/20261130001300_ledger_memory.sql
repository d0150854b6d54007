-- The end of a call is remembered for a minute instead of ten: an account may remember 50,000 calls, which was 83 a second.
-- Nothing else about the end of a call is new.

create or replace function private.ledger_settle(
  kept private.ledger_state, present numeric, call_id text, actual jsonb, record text
)
returns private.ledger_state
language plpgsql
set search_path = ''
as $$
declare
  most constant numeric := 18446744073709551615;
  amounts constant jsonb := private.ledger_amounts(coalesce(actual, '{}'));
  forgotten_at constant numeric := least(present + 60000000000, most);
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
