-- Teams: members of one organization who work together.

create table public.teams (
  id uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organizations (id) on delete cascade,
  name text not null check (char_length(name) between 1 and 100),
  created_at timestamptz not null default now(),
  unique (org_id, name),
  unique (org_id, id)
);
comment on table public.teams is 'Groups of members of an organization.';

create table public.team_members (
  team_id uuid not null,
  org_id uuid not null,
  user_id uuid not null,
  created_at timestamptz not null default now(),
  primary key (team_id, user_id),
  foreign key (org_id, team_id) references public.teams (org_id, id) on delete cascade,
  foreign key (org_id, user_id) references public.organization_members (org_id, user_id) on delete cascade
);
comment on table public.team_members is 'Who belongs to a team: only members of its organization, as long as they are.';
comment on column public.team_members.org_id is 'The team''s, so that the keys hold both to one organization.';
create index team_members_team on public.team_members (org_id, team_id);
create index team_members_member on public.team_members (org_id, user_id);

alter table public.teams enable row level security;
alter table public.team_members enable row level security;
revoke all on table public.teams, public.team_members from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.teams, public.team_members to service_role;

grant select, insert (org_id, name), update (name), delete on table public.teams to authenticated;
create policy "members see the teams" on public.teams
  for select to authenticated using (org_id = any ((select private.member_orgs())::uuid[]));
create policy "teams are made by those who may" on public.teams
  for insert to authenticated with check (org_id = any ((select private.orgs_with_permission('teams:write'))::uuid[]));
create policy "teams are renamed by those who may" on public.teams
  for update to authenticated
  using (org_id = any ((select private.orgs_with_permission('teams:write'))::uuid[]))
  with check (org_id = any ((select private.orgs_with_permission('teams:write'))::uuid[]));
create policy "teams are deleted by those who may" on public.teams
  for delete to authenticated using (org_id = any ((select private.orgs_with_permission('teams:write'))::uuid[]));

grant select, insert (team_id, org_id, user_id), delete on table public.team_members to authenticated;
create policy "members see who is in which team" on public.team_members
  for select to authenticated using (org_id = any ((select private.member_orgs())::uuid[]));
create policy "teams are filled by those who may" on public.team_members
  for insert to authenticated with check (org_id = any ((select private.orgs_with_permission('teams:write'))::uuid[]));
create policy "teams are emptied by those who may" on public.team_members
  for delete to authenticated using (org_id = any ((select private.orgs_with_permission('teams:write'))::uuid[]));

create function private.require_team(team uuid)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
  found uuid;
begin
  select org_id into found from public.teams where id = team;
  if found is null then
    raise sqlstate 'PT404' using message = 'no such team', detail = 'id';
  end if;
  perform private.require_permission(found, 'teams:write');
  return found;
end
$$;
comment on function private.require_team(uuid) is
  'The organization of a team that the caller may change. PT404: there is none, or not for the caller; PT403 '
  'teams:write.';
revoke all on function private.require_team(uuid) from public;
grant execute on function private.require_team(uuid) to authenticated;

create function api.create_team(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
  made public.teams;
begin
  perform private.require_permission(org, 'teams:write');
  if (select count(*) from public.teams where org_id = org) >= 1000 then
    raise sqlstate 'PT409' using message = 'an organization has at most 1000 teams', detail = 'org_id';
  end if;
  insert into public.teams (org_id, name) values (org, private.read_text(payload, 'name', 100)) returning * into made;
  return to_jsonb(made) || '{"members": []}';
exception when unique_violation then
  raise sqlstate 'PT409' using message = 'there is a team of this name', detail = 'name';
end
$$;
comment on function api.create_team(jsonb) is
  '{org_id?, name} -> {id, org_id, name, created_at, members: []}. PT403 teams:write; PT409: the name is taken, or '
  'there are too many; PT404, PT422.';

create function api.list_teams(payload jsonb default '{}')
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  org uuid := private.read_org(payload);
begin
  perform private.require_permission(org, 'members:read');
  return jsonb_build_object('teams', (
    select coalesce(jsonb_agg(to_jsonb(team) || jsonb_build_object('members', (
      select coalesce(jsonb_agg(member.user_id order by member.created_at, member.user_id), '[]')
      from public.team_members member where member.org_id = team.org_id and member.team_id = team.id
    )) order by team.name), '[]')
    from public.teams team where team.org_id = org
  ));
end
$$;
comment on function api.list_teams(jsonb) is
  '{org_id?} -> {teams: [{id, org_id, name, created_at, members: [user_id]}]}, by name. PT403 members:read; PT404.';

create function api.rename_team(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  team uuid := private.read_uuid(payload, 'id');
  wanted text := private.read_text(payload, 'name', 100);
begin
  perform private.require_team(team);
  update public.teams set name = wanted where id = team;
  return jsonb_build_object('id', team, 'name', wanted);
exception when unique_violation then
  raise sqlstate 'PT409' using message = 'there is a team of this name', detail = 'name';
end
$$;
comment on function api.rename_team(jsonb) is
  '{id, name} -> {id, name}. PT403 teams:write; PT409: the name is taken; PT404, PT422.';

create function api.delete_team(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  team uuid := private.read_uuid(payload, 'id');
begin
  perform private.require_team(team);
  delete from public.teams where id = team;
  return jsonb_build_object('id', team);
end
$$;
comment on function api.delete_team(jsonb) is '{id} -> {id}. PT403 teams:write; PT404.';

create function api.add_team_member(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  team uuid := private.read_uuid(payload, 'id');
  member uuid := private.read_uuid(payload, 'user_id');
  org uuid := private.require_team(team);
begin
  perform private.require_member(org, member);
  insert into public.team_members (team_id, org_id, user_id) values (team, org, member) on conflict do nothing;
  return jsonb_build_object('id', team, 'user_id', member);
end
$$;
comment on function api.add_team_member(jsonb) is
  '{id, user_id} -> {id, user_id}; again changes nothing. PT403 teams:write; PT404: no such team, or no member of its '
  'organization.';

create function api.remove_team_member(payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  team uuid := private.read_uuid(payload, 'id');
  member uuid := private.read_uuid(payload, 'user_id');
begin
  perform private.require_team(team);
  delete from public.team_members where team_id = team and user_id = member;
  if not found then
    raise sqlstate 'PT404' using message = 'no such member', detail = 'user_id';
  end if;
  return jsonb_build_object('id', team, 'user_id', member);
end
$$;
comment on function api.remove_team_member(jsonb) is
  '{id, user_id} -> {id, user_id}. PT403 teams:write; PT404: no such team, or not in it.';

revoke all on function
  api.create_team(jsonb), api.list_teams(jsonb), api.rename_team(jsonb), api.delete_team(jsonb),
  api.add_team_member(jsonb), api.remove_team_member(jsonb)
  from public;
grant execute on function api.create_team(jsonb), api.list_teams(jsonb) to authenticated;
grant execute on function api.rename_team(jsonb), api.delete_team(jsonb) to authenticated;
grant execute on function api.add_team_member(jsonb), api.remove_team_member(jsonb) to authenticated;
