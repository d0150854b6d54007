-- Whoever changes who may do what leaves an entry in the audit log, by the same transaction, whichever way they came.

create function private.audit_change()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  before jsonb := to_jsonb(old);
  after jsonb := to_jsonb(new);
  present jsonb := coalesce(after, before);
  org uuid := (present ->> case tg_table_name when 'organizations' then 'id' else 'org_id' end)::uuid;
  caller uuid := auth.uid();
  changes jsonb := '{}';
  field text;
begin
  -- Of an organization that goes as a whole, its own entry tells.
  if org is null
    or tg_table_name <> 'organizations' and not exists (select from public.organizations where id = org) then
    return null;
  end if;
  foreach field in array tg_argv[1:] loop
    if tg_op = 'UPDATE' then
      if before -> field is distinct from after -> field then
        changes := changes || jsonb_build_object(
          field, jsonb_build_object('from', before -> field, 'to', after -> field)
        );
      end if;
    else
      changes := changes || jsonb_build_object(field, present -> field);
    end if;
  end loop;
  if changes = '{}' then
    return null;
  end if;
  perform private.append_audit(org, jsonb_build_object(
    'id', gen_random_uuid(),
    'actor_id', caller,
    'actor_kind', case
      when caller is not null then 'user' when auth.role() = 'service_role' then 'service' else 'system'
    end,
    'action', tg_argv[0] || '.' || case
      when tg_op = 'INSERT' then 'created'
      when tg_op = 'DELETE' then 'deleted'
      when changes #>> '{revoked_at,to}' is not null then 'revoked'
      when changes #>> '{accepted_at,to}' is not null then 'accepted'
      when changes #>> '{replaced_by,to}' is not null then 'rotated'
      else 'updated'
    end,
    'outcome', 'success',
    'target_id', coalesce(present ->> 'id', present ->> 'user_id'),
    'details', changes
  ));
  return null;
end
$$;
comment on function private.audit_change() is
  'Records what became of a row: the trigger names the kind of thing, and the columns that are told. Runs as its '
  'owner, because nobody may write the log.';
revoke all on function private.audit_change() from public;

create trigger audit_change after insert or update or delete on public.organizations
  for each row execute function private.audit_change('organization', 'name', 'tier');
create trigger audit_change after insert or update or delete on public.organization_members
  for each row execute function private.audit_change('member', 'user_id', 'role');
create trigger audit_change after insert or update or delete on public.organization_invitations
  for each row execute function private.audit_change(
    'invitation', 'email', 'role', 'expires_at', 'accepted_at', 'revoked_at'
  );
create trigger audit_change after insert or update or delete on public.roles
  for each row execute function private.audit_change('role', 'name', 'permissions');
create trigger audit_change after insert or update or delete on public.user_roles
  for each row execute function private.audit_change('member_role', 'user_id', 'role_id');
create trigger audit_change after insert or update or delete on public.teams
  for each row execute function private.audit_change('team', 'name');
create trigger audit_change after insert or update or delete on public.team_members
  for each row execute function private.audit_change('team_member', 'team_id', 'user_id');
create trigger audit_change after insert or update or delete on public.api_keys
  for each row execute function private.audit_change(
    'key', 'user_id', 'name', 'prefix', 'scopes', 'allowed_cidrs', 'expires_at', 'revoked_at', 'replaced_by'
  );
