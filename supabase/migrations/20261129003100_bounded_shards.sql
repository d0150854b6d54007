-- A shard has room for so many counters; when they are all in use, subjects that have none share one per policy. The
-- decision is still the one of `shared/quota`, and what is idle is forgotten by every take.

drop function private.decide_limits(jsonb, numeric, jsonb);
create function private.decide_limits(arrivals jsonb, present numeric, takes jsonb, most_counters integer default 10000)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
  -- The largest number of the Rust side: there, what would exceed it is refused or stays at it.
  most constant numeric := 18446744073709551615;
  take jsonb;
  subject text;
  policy text;
  room integer;
  fresh text[] := '{}';
  counters text[] := '{}';
  number integer;
  quantity numeric;
  units numeric;
  spacing numeric;
  burst numeric;
  arrival numeric;
  resets numeric;
  allowed boolean := true;
  taken jsonb := '{}';
  standings jsonb := '[]';
begin
  select coalesce(jsonb_object_agg(key, value), '{}'), greatest(most_counters - count(*)::integer, 0)
  into arrivals, room
  from jsonb_each(arrivals) where value::numeric > present;
  -- The counter of each take: the subject's own if it is in use or there is room for it.
  for subject, policy in select value ->> 'subject', value -> 'policy' ->> 'name' from jsonb_array_elements(takes) loop
    if arrivals ? subject or subject = any (fresh) then
      counters := counters || subject;
    elsif cardinality(fresh) < room then
      fresh := fresh || subject;
      counters := counters || subject;
    else
      counters := counters || concat('overflow ', policy);
    end if;
  end loop;
  -- Twice over the takes: what all of them come to, then where each stands.
  for pass in 1..2 loop
    for take, number in select value, ordinality from jsonb_array_elements(takes) with ordinality loop
      subject := take ->> 'subject';
      quantity := (take ->> 'quantity')::numeric;
      units := (take -> 'policy' ->> 'limit')::numeric;
      spacing := (take -> 'policy' ->> 'window_seconds')::numeric;
      if subject is null or least(quantity, units, spacing) < 0 or num_nulls(quantity, units, spacing) > 0 then
        raise sqlstate 'PT400' using message = 'a take has a subject, a quantity and a policy', detail = 'takes';
      end if;
      -- Nanoseconds per unit, rounded up so that the limit is never exceeded.
      spacing := least(greatest(spacing, 1) * 1000000000, most);
      spacing := div(spacing + greatest(units, 1) - 1, greatest(units, 1));
      burst := least(spacing * greatest(units, 1), most);
      arrival := greatest((arrivals ->> counters[number])::numeric, present);
      if pass = 1 then
        arrival := arrival + spacing * quantity;
        allowed := allowed and arrival <= most and arrival - present <= burst;
        taken := taken || jsonb_build_object(counters[number], arrival);
      else
        resets := arrival - present;
        standings := standings || jsonb_build_object(
          'policy', take -> 'policy',
          'remaining', div(greatest(burst - resets, 0), spacing),
          'reset_after', resets,
          'retry_after', case
            when quantity <= units then greatest(least(resets + least(spacing * quantity, most), most) - burst, 0)
          end
        );
      end if;
    end loop;
    if pass = 1 and allowed then
      arrivals := arrivals || taken;
    end if;
  end loop;
  return jsonb_build_object('allowed', allowed, 'standings', standings, 'arrivals', arrivals);
end
$$;
comment on function private.decide_limits(jsonb, numeric, jsonb, integer) is
  'Whether all takes pass at a present time, where each policy stands then, and the arrivals afterwards.';
revoke all on function private.decide_limits(jsonb, numeric, jsonb, integer) from public;
grant execute on function private.decide_limits(jsonb, numeric, jsonb, integer) to service_role;

comment on table private.rate_limits is
  'Who has taken how much: one row per shard in use, of which there is a fixed number for each kind of stranger.';
