-- The audit log as a verifier needs it: the exact texts, in the order of the chain.

create function api.export_audit(payload jsonb default '{}')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
  after bigint := private.read_whole(payload, 'after_seq', 0, 0, 999999999999999);
  most bigint := private.read_whole(payload, 'limit', 500, 1, 500);
  result jsonb;
begin
  perform private.require_permission(org, 'audit:read');
  select jsonb_build_object(
    'entries', coalesce(jsonb_agg(
      jsonb_build_object(
        'seq', seq, 'entry', entry, 'prev_hash', encode(prev_hash, 'hex'), 'hash', encode(hash, 'hex')
      ) order by seq
    ) filter (where fits), '[]'),
    'next_after', case when count(*) > count(*) filter (where fits) then max(seq) filter (where fits) end
  )
  into result
  from (
    -- A page has an end in bytes too, so that whoever reads it needs bounded memory.
    select
      line.*,
      row_number() over (order by seq) = 1
        or row_number() over (order by seq) <= most and sum(octet_length(entry)) over (order by seq) <= 262144 as fits
    from (
      select seq, entry, prev_hash, hash from public.audit_logs
      where org_id = org and seq > after
      order by seq
      limit most + 1
    ) line
  ) page;
  return result;
end
$$;
comment on function api.export_audit(jsonb) is
  '{org_id?, after_seq? (0), limit? (500; at most 500)} -> {entries: [{seq, entry, prev_hash, hash}], next_after: '
  'seq or null}: the texts that are hashed, the oldest first, with their hashes in hexadecimal; a page has at most '
  '256 KiB of them. PT403 audit:read (owners and admins); PT404, PT422.';
revoke all on function api.export_audit(jsonb) from public;
grant execute on function api.export_audit(jsonb) to authenticated;
