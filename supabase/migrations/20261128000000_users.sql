-- `profiles` becomes `users`, and a user's own organization is told from those that are shared.

alter table public.profiles rename to users;
alter table public.users rename constraint profiles_pkey to users_pkey;
alter table public.users rename constraint profiles_id_fkey to users_id_fkey;
alter table public.users rename constraint profiles_display_name_check to users_display_name_check;
comment on table public.users is 'Who has an account: one row per user of Supabase Auth, made at sign-up.';
comment on column public.users.display_name is 'Chosen by the user; shown to members of the same organizations.';

alter table public.organizations
  add column personal_user_id uuid unique references public.users (id) on delete cascade;
comment on column public.organizations.personal_user_id is
  'Whose personal organization it is: it goes with the account, and the user stays an owner. Null if it is shared.';

-- The one that was made at sign-up is the first that its owner joined.
update public.organizations
set personal_user_id = joined.user_id
from (
  select distinct on (member.user_id) member.user_id, member.org_id, member.role
  from public.organization_members member join public.users on users.id = member.user_id
  order by member.user_id, member.created_at, member.org_id
) joined
where organizations.id = joined.org_id and joined.role = 'owner';

create or replace function private.welcome_user()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  org uuid := gen_random_uuid();
  wanted text := btrim(new.raw_user_meta_data ->> 'name');
begin
  insert into public.users (id, display_name)
  values (new.id, nullif(left(coalesce(nullif(wanted, ''), split_part(new.email, '@', 1)), 100), ''));
  insert into public.organizations (id, name, personal_user_id) values (org, 'Personal', new.id);
  insert into public.organization_members (org_id, user_id, role) values (org, new.id, 'owner');
  return new;
end
$$;
comment on function private.welcome_user() is
  'Gives a new user a row in users and a personal organization. Runs as its owner, because the role that signs users '
  'up may not write these tables.';
