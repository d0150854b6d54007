-- How functions of schema `api` read their argument: what has another form is PT422 with the field as the detail.

create function private.read_uuid(payload jsonb, field text)
returns uuid
language plpgsql
immutable
set search_path = ''
as $$
begin
  if payload ->> field !~* '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$' then
    raise sqlstate 'PT422' using message = format('%s must be a UUID', field), detail = field;
  end if;
  return (payload ->> field)::uuid;
end
$$;
comment on function private.read_uuid(jsonb, text) is 'A UUID, or null if there is none.';

create function private.read_text(payload jsonb, field text, most integer)
returns text
language plpgsql
immutable
set search_path = ''
as $$
declare
  found text := btrim(payload ->> field);
begin
  if coalesce(char_length(found), 0) not between 1 and most then
    raise sqlstate 'PT422' using message = format('%s must have 1 to %s characters', field, most), detail = field;
  end if;
  return found;
end
$$;
comment on function private.read_text(jsonb, text, integer) is 'A text without blanks around it; it must be there.';

create function private.read_digest(payload jsonb, field text)
returns bytea
language plpgsql
immutable
set search_path = ''
as $$
begin
  if coalesce(payload ->> field, '') !~* '^[0-9a-f]{64}$' then
    raise sqlstate 'PT422' using message = format('%s must be 64 hexadecimal digits', field), detail = field;
  end if;
  return decode(payload ->> field, 'hex');
end
$$;
comment on function private.read_digest(jsonb, text) is '32 bytes in hexadecimal; they must be there.';

create function private.read_time(payload jsonb, field text)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  return (payload ->> field)::timestamptz;
exception when data_exception then
  raise sqlstate 'PT422' using
    message = format('%s must be a time such as 2026-11-28T00:00:00Z', field), detail = field;
end
$$;
comment on function private.read_time(jsonb, text) is 'A point in time, or null if there is none.';

create function private.read_whole(payload jsonb, field text, fallback bigint, lowest bigint, highest bigint)
returns bigint
language plpgsql
immutable
set search_path = ''
as $$
declare
  found text := coalesce(payload ->> field, fallback::text);
begin
  if found is null or found !~ '^\d{1,15}$' or found::bigint not between lowest and highest then
    raise sqlstate 'PT422' using
      message = format('%s must be a number from %s to %s', field, lowest, highest), detail = field;
  end if;
  return found::bigint;
end
$$;
comment on function private.read_whole(jsonb, text, bigint, bigint, bigint) is
  'A whole number within bounds, or the fallback if there is none.';

create function private.read_org(payload jsonb)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
  found uuid := coalesce(
    private.read_uuid(payload, 'org_id'),
    ((select auth.jwt()) -> 'app_metadata' ->> 'org_id')::uuid
  );
begin
  if found is null then
    raise sqlstate 'PT422' using message = 'org_id is missing', detail = 'org_id';
  end if;
  return found;
end
$$;
comment on function private.read_org(jsonb) is 'org_id, or the organization in the access token.';

create function private.read_items(payload jsonb, field text, most integer)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  if jsonb_typeof(payload -> field) is distinct from 'array' or jsonb_array_length(payload -> field) > most then
    raise sqlstate 'PT422' using message = format('%s must be an array of at most %s', field, most), detail = field;
  end if;
  return payload -> field;
end
$$;
comment on function private.read_items(jsonb, text, integer) is 'An array; it must be there.';

create function private.read_address(payload jsonb, field text)
returns inet
language plpgsql
immutable
set search_path = ''
as $$
begin
  return (payload ->> field)::inet;
exception when invalid_text_representation then
  raise sqlstate 'PT422' using message = format('%s must be an IP address', field), detail = field;
end
$$;
comment on function private.read_address(jsonb, text) is 'An IP address, or null if there is none.';

-- Only functions that are exposed call these, under the role of whoever called them.
grant usage on schema private to authenticated;
revoke all on function
  private.read_uuid(jsonb, text), private.read_text(jsonb, text, integer), private.read_digest(jsonb, text),
  private.read_time(jsonb, text), private.read_whole(jsonb, text, bigint, bigint, bigint), private.read_org(jsonb),
  private.read_items(jsonb, text, integer), private.read_address(jsonb, text)
  from public;
grant execute on function
  private.read_uuid(jsonb, text), private.read_text(jsonb, text, integer), private.read_digest(jsonb, text),
  private.read_time(jsonb, text), private.read_whole(jsonb, text, bigint, bigint, bigint), private.read_org(jsonb),
  private.read_items(jsonb, text, integer), private.read_address(jsonb, text)
  to authenticated, service_role;
