-- Rate limits, for hosts that have nothing of their own that counts exactly across instances. The decision is the one
-- of `shared/quota`: GCRA in whole nanoseconds, all policies taken or none. One file of vectors binds both.

create table private.rate_limits (
  shard text primary key check (char_length(shard) between 1 and 200),
  arrivals jsonb not null default '{}',
  idle_at numeric(20) not null default 0
);
comment on table private.rate_limits is 'Who has taken how much: one row per organization, account or address in use.';
comment on column private.rate_limits.arrivals is
  'Per counter its theoretical arrival time, in nanoseconds since the epoch.';
comment on column private.rate_limits.idle_at is
  'When no counter is in use any more, in nanoseconds since the epoch: from then on the row may go.';
create index rate_limits_idle on private.rate_limits (idle_at);

alter table private.rate_limits enable row level security;
revoke all on table private.rate_limits from public, anon, authenticated, service_role;
grant select, insert, update, delete on table private.rate_limits to service_role;

create function private.decide_limits(arrivals jsonb, present numeric, takes jsonb)
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
  -- Twice over the takes: what all of them come to, then where each stands.
  for pass in 1..2 loop
    for take in select * from jsonb_array_elements(takes) loop
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
      arrival := greatest((arrivals ->> subject)::numeric, present);
      if pass = 1 then
        arrival := arrival + spacing * quantity;
        allowed := allowed and arrival <= most and arrival - present <= burst;
        taken := taken || jsonb_build_object(subject, arrival);
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
      arrivals := taken || coalesce(
        (select jsonb_object_agg(key, value) from jsonb_each(arrivals) where value::numeric > present and not taken ? key),
        '{}'
      );
    end if;
  end loop;
  return jsonb_build_object('allowed', allowed, 'standings', standings, 'arrivals', arrivals);
end
$$;
comment on function private.decide_limits(jsonb, numeric, jsonb) is
  'Whether all takes pass at a present time, where each policy stands then, and the arrivals afterwards.';
revoke all on function private.decide_limits(jsonb, numeric, jsonb) from public;
grant execute on function private.decide_limits(jsonb, numeric, jsonb) to service_role;

create function api.take_from_limits(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  wanted text := payload ->> 'shard';
  kept jsonb;
  is_new boolean := false;
  present numeric;
  decision jsonb;
begin
  if coalesce(char_length(wanted), 0) not between 1 and 200 then
    raise sqlstate 'PT400' using message = 'shard must be a text of 1 to 200 characters', detail = 'shard';
  end if;
  if jsonb_typeof(payload -> 'takes') is distinct from 'array' then
    raise sqlstate 'PT400' using message = 'takes must be an array', detail = 'takes';
  end if;
  -- Until the row is there and ours alone; somebody may sweep it out in between.
  loop
    select arrivals into kept from private.rate_limits where shard = wanted for update;
    exit when found;
    insert into private.rate_limits (shard) values (wanted) on conflict do nothing;
    is_new := true;
  end loop;
  -- The database's own clock, read once nobody else can change the row: no caller says what time it is.
  present := floor(extract(epoch from clock_timestamp()) * 1000000000);
  decision := private.decide_limits(kept, present, payload -> 'takes');
  if (decision ->> 'allowed')::boolean then
    update private.rate_limits
    set
      arrivals = decision -> 'arrivals',
      idle_at = (select coalesce(max(value::numeric), 0) from jsonb_each(decision -> 'arrivals'))
    where shard = wanted;
  end if;
  -- Whoever adds a row takes more than one away that is idle, so that they do not accumulate.
  if is_new then
    delete from private.rate_limits where shard in (
      select shard from private.rate_limits
      where idle_at <= present and shard <> wanted
      order by idle_at
      limit 10
      for update skip locked
    );
  end if;
  return decision - 'arrivals';
end
$$;
comment on function api.take_from_limits(jsonb) is
  'Takes from every policy in takes, or from none, by the counters of one shard. PT400 names the argument that is wrong.';
revoke all on function api.take_from_limits(jsonb) from public;
grant execute on function api.take_from_limits(jsonb) to service_role;
