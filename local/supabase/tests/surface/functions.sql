-- Functions and a table for the tests of the surface.

create table public.notes (id integer primary key, body text, at timestamptz default now(), done boolean);
alter table public.notes enable row level security;
create policy "everybody reads" on public.notes for select to anon, authenticated using (id < 10000);
insert into public.notes (id, body, done)
select n, case when n = 3 then null when n = 4 then 'with, comma "and" quotes' else 'note ' || n end, n % 2 = 0
from generate_series(1, 1500) n;
insert into public.notes (id, body) values (10001, 'hidden');

create table public.writes (who text);

create function api.who() returns jsonb language sql as $$
  select jsonb_build_object(
    'role', current_user, 'login', session_user, 'superuser', current_setting('is_superuser'),
    'claims', current_setting('request.jwt.claims')::jsonb, 'timeout', current_setting('statement_timeout')
  )
$$;
create function api.add(a integer, b integer default 10) returns integer language sql immutable as 'select a + b';
create function api.total(numbers integer[]) returns bigint language sql immutable as 'select sum(n) from unnest(numbers) n';
create function api.shout(words text) returns text language sql immutable as 'select upper(words)';
create function api.body(jsonb) returns jsonb language sql immutable as 'select jsonb_build_object(''got'', $1)';
create function api.nothing() returns void language sql as 'select';
create function api.no_value() returns text language sql as 'select null::text';
create function api.numbers(n integer) returns setof integer language sql stable as 'select generate_series(1, n)';
create function api.rows(n integer) returns table (id integer, label text) language sql stable as $$
  select i, 'row ' || i from generate_series(1, n) i
$$;
create function api.one_row() returns public.writes language sql stable as $$ select row('me')::public.writes $$;
create function api.twice(n integer) returns integer language sql as 'select n';
create function api.twice(n text) returns text language sql as 'select n';
create function api.write(who text, fail boolean default false) returns void language plpgsql security definer as $$
begin
  insert into public.writes values (who);
  if fail then
    raise exception 'no' using detail = 'the detail', hint = 'the hint';
  end if;
end
$$;
create function api.written(who text) returns bigint language sql stable security definer as $$
  select count(*) from public.writes w where w.who = written.who
$$;
create function api.raise(code text, message text, detail text default '') returns void language plpgsql as $$
begin
  raise exception using errcode = code, message = message, detail = detail;
end
$$;
create function api.slow() returns void language sql set statement_timeout = '100ms' as 'select pg_sleep(20)';
