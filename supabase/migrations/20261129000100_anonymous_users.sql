-- Users without an identity of their own belong to no organization. Whoever gets an identity gets a personal one then.

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
  values (new.id, nullif(left(coalesce(nullif(wanted, ''), split_part(new.email, '@', 1)), 100), ''))
  on conflict (id) do update set display_name = coalesce(users.display_name, excluded.display_name);
  if not (new.is_anonymous or exists (select from public.organizations where personal_user_id = new.id)) then
    insert into public.organizations (id, name, personal_user_id) values (org, 'Personal', new.id);
    insert into public.organization_members (org_id, user_id, role) values (org, new.id, 'owner');
  end if;
  return new;
end
$$;
comment on function private.welcome_user() is
  'Gives a user a row in users and, unless anonymous, a personal organization. Runs as its owner, because the role '
  'that signs users up may not write these tables.';
create trigger welcome_identity after update on auth.users
  for each row when (old.is_anonymous and not new.is_anonymous) execute function private.welcome_user();

create function private.refuse_anonymous_member()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select from auth.users where id = new.user_id and is_anonymous) then
    raise sqlstate 'PT403' using message = 'only users with an identity belong to organizations', detail = 'user_id';
  end if;
  return new;
end
$$;
comment on function private.refuse_anonymous_member() is
  'Refuses members without an identity, whoever adds them. Runs as its owner, because it reads auth.users.';
revoke all on function private.refuse_anonymous_member() from public;
create trigger refuse_anonymous_member before insert or update of user_id on public.organization_members
  for each row execute function private.refuse_anonymous_member();

-- What those have who signed up before: a personal organization that nobody else can be in.
delete from public.organizations where personal_user_id in (select id from auth.users where is_anonymous);
