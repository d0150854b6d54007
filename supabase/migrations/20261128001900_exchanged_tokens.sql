-- Tokens that the edge issues in exchange for an API key act as the key's user. So they must not be able to make what
-- outlives them, or to reach beyond the key: keys, organizations and who belongs to them, sessions, the
-- account itself.

create function private.refuse_exchanged_token()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- Not auth.jwt(): whoever writes here need not be allowed to call it.
  if nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'exchanged' = 'true' then
    raise sqlstate 'PT403' using message = 'this needs the user''s own access token';
  end if;
  return coalesce(new, old);
end
$$;
comment on function private.refuse_exchanged_token() is
  'For tables that only a signed-in user changes: refuses tokens that were exchanged for an API key or another token.';
revoke all on function private.refuse_exchanged_token() from public;

create trigger refuse_exchanged_token before insert or update or delete on public.api_keys
  for each row execute function private.refuse_exchanged_token();
create trigger refuse_exchanged_token before insert or update or delete on public.organizations
  for each row execute function private.refuse_exchanged_token();
create trigger refuse_exchanged_token before insert or update or delete on public.organization_members
  for each row execute function private.refuse_exchanged_token();
create trigger refuse_exchanged_token before insert or update or delete on public.organization_invitations
  for each row execute function private.refuse_exchanged_token();
create trigger refuse_exchanged_token before insert or update or delete on public.roles
  for each row execute function private.refuse_exchanged_token();
create trigger refuse_exchanged_token before insert or update or delete on public.user_roles
  for each row execute function private.refuse_exchanged_token();
create trigger refuse_exchanged_token before insert or update or delete on public.teams
  for each row execute function private.refuse_exchanged_token();
create trigger refuse_exchanged_token before insert or update or delete on public.team_members
  for each row execute function private.refuse_exchanged_token();
create trigger refuse_exchanged_token before insert or update or delete on public.user_sessions
  for each row execute function private.refuse_exchanged_token();
create trigger refuse_exchanged_token before insert or update or delete on public.users
  for each row execute function private.refuse_exchanged_token();
