-- Who is who: profiles, organizations and their members, and what an access token says about them.

create table public.profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  display_name text check (char_length(display_name) between 1 and 100),
  created_at timestamptz not null default now()
);
comment on table public.profiles is 'One row per user, made at sign-up.';

create table public.organizations (
  id uuid primary key default gen_random_uuid(),
  name text not null check (char_length(name) between 1 and 100),
  tier text not null default 'T1' check (tier in ('T1', 'T2', 'T3')),
  created_at timestamptz not null default now()
);
comment on table public.organizations is 'Who is billed; every user has a personal one from sign-up on.';
comment on column public.organizations.tier is 'Chooses the limits. Set by the operator only.';

create table public.organization_members (
  org_id uuid not null references public.organizations (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  role text not null check (role in ('owner', 'admin', 'developer', 'viewer')),
  created_at timestamptz not null default now(),
  primary key (org_id, user_id)
);
comment on table public.organization_members is 'Who belongs to an organization, and as what.';
create index organization_members_user on public.organization_members (user_id, created_at, org_id);

-- Policies ask these instead of the table itself, whose own policy would ask itself for ever.

create function private.member_orgs()
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(org_id), '{}')
  from public.organization_members
  where user_id = (select auth.uid())
$$;
comment on function private.member_orgs() is 'The organizations that the caller belongs to.';

create function private.orgs_with_role(roles text[])
returns uuid[]
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(array_agg(org_id), '{}')
  from public.organization_members
  where user_id = (select auth.uid()) and role = any (roles)
$$;
comment on function private.orgs_with_role(text[]) is 'The organizations in which the caller has one of these roles.';

revoke all on function private.member_orgs(), private.orgs_with_role(text[]) from public;
grant execute on function private.member_orgs(), private.orgs_with_role(text[]) to authenticated;

alter table public.profiles enable row level security;
alter table public.organizations enable row level security;
alter table public.organization_members enable row level security;
revoke all on table public.profiles, public.organizations, public.organization_members
  from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.profiles, public.organizations, public.organization_members
  to service_role;

grant select, update (display_name) on table public.profiles to authenticated;
create policy "own profile is visible" on public.profiles
  for select to authenticated using (id = (select auth.uid()));
create policy "own profile can be changed" on public.profiles
  for update to authenticated using (id = (select auth.uid())) with check (id = (select auth.uid()));

grant select, update (name) on table public.organizations to authenticated;
create policy "members see their organizations" on public.organizations
  for select to authenticated using (id = any ((select private.member_orgs())::uuid[]));
create policy "owners and admins rename their organizations" on public.organizations
  for update to authenticated
  using (id = any ((select private.orgs_with_role('{owner,admin}'))::uuid[]))
  with check (id = any ((select private.orgs_with_role('{owner,admin}'))::uuid[]));

grant select on table public.organization_members to authenticated;
create policy "members see each other" on public.organization_members
  for select to authenticated using (org_id = any ((select private.member_orgs())::uuid[]));

-- Sign-up

create function private.welcome_user()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  org uuid := gen_random_uuid();
  wanted text := btrim(new.raw_user_meta_data ->> 'name');
begin
  insert into public.profiles (id, display_name)
  values (new.id, nullif(left(coalesce(nullif(wanted, ''), split_part(new.email, '@', 1)), 100), ''));
  insert into public.organizations (id, name) values (org, 'Personal');
  insert into public.organization_members (org_id, user_id, role) values (org, new.id, 'owner');
  return new;
end
$$;
comment on function private.welcome_user() is
  'Gives a new user a profile and a personal organization. Runs as its owner, because the role that signs users up '
  'may not write these tables.';
revoke all on function private.welcome_user() from public;

create trigger welcome_user after insert on auth.users for each row execute function private.welcome_user();

-- Access tokens

grant select on table public.organizations, public.organization_members to supabase_auth_admin;
create policy "the token hook reads organizations" on public.organizations
  for select to supabase_auth_admin using (true);
create policy "the token hook reads members" on public.organization_members
  for select to supabase_auth_admin using (true);

create function public.custom_access_token_hook(event jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  claims jsonb := event -> 'claims';
  membership record;
begin
  select member.org_id, member.role, organization.tier into membership
  from public.organization_members member
  join public.organizations organization on organization.id = member.org_id
  where member.user_id = (event ->> 'user_id')::uuid
  order by member.created_at, member.org_id
  limit 1;

  claims := jsonb_set(claims, '{app_metadata}', coalesce(claims -> 'app_metadata', '{}') || jsonb_build_object(
    'org_id', membership.org_id,
    'roles', case when membership.role is null then '[]' else jsonb_build_array(membership.role) end,
    'tier', coalesce(membership.tier, 'T1')
  ));
  return jsonb_set(event, '{claims}', claims);
end
$$;
comment on function public.custom_access_token_hook(jsonb) is
  'Puts the organization that the user joined first, the roles there and its tier into app_metadata of every access '
  'token, so that a request with a token costs no look-up.';
revoke all on function public.custom_access_token_hook(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.custom_access_token_hook(jsonb) to supabase_auth_admin;
grant usage on schema public to supabase_auth_admin;
