//! `POST /auth/v1/signup`: a new account, confirmed at once.

use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::{body, query, session, user_agent};
use crate::answer::Request;
use crate::surface::Surface;

/// The shortest password; as in `supabase/config.toml`.
const SHORTEST_PASSWORD: usize = 6;
/// bcrypt looks at no more than this: what follows would be ignored.
const LONGEST_PASSWORD: usize = 72;
/// 2^8 rounds take some milliseconds; hosted projects take four times as many.
const INSERT: &str = "
    insert into auth.users (
      aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at
    )
    select 'authenticated', 'authenticated', $1, extensions.crypt($2, extensions.gen_salt('bf', 8)), at,
           '{\"provider\": \"email\", \"providers\": [\"email\"]}', $3::text::jsonb, at, at
    from (select to_timestamp($4::text::bigint) as at) clock
    on conflict (email) where not is_sso_user do nothing
    returning id::text";
const INSERT_IDENTITY: &str = "
    insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
    select $1, $1::uuid, jsonb_build_object('sub', $1, 'email', $2, 'email_verified', true, 'phone_verified', false),
           'email', at, at, at
    from (select to_timestamp($3::text::bigint) as at) clock";
const COMPLETE_METADATA: &str = "
    update auth.users
    set raw_user_meta_data = raw_user_meta_data
      || jsonb_build_object('sub', id, 'email', email, 'email_verified', true, 'phone_verified', false)
    where id = $1::text::uuid";

#[derive(Deserialize)]
struct SignUp {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    data: Option<serde_json::Map<String, Value>>,
}

/// Makes the account and signs it in.
pub(super) async fn sign_up(request: &Request, surface: &Surface) -> Result<Value, Failure> {
    let SignUp { email, password, data } = body(request)?;
    let email = email.trim().to_lowercase();
    if email.is_empty() && password.is_empty() {
        return Err(Failure::unprocessable("anonymous_provider_disabled", "Anonymous sign-ins are disabled"));
    }
    check_email(&email)?;
    check_password(&password)?;

    let (data, now) = (json!(data.unwrap_or_default()).to_string(), surface.now().to_string());
    let mut client = surface.auth.get().await?;
    let transaction = client.transaction().await?;
    let saved = query(&*transaction, INSERT, &[&email, &password, &data, &now]).await;
    let saved = saved.map_err(|error| Failure::unexpected("Database error saving new user", &describe(&error)))?;
    let Some(row) = saved.first() else {
        return Err(Failure::unprocessable("user_already_exists", "User already registered"));
    };
    let id: String = row.get(0);
    query(&*transaction, INSERT_IDENTITY, &[&id, &email, &now]).await?;
    query(&*transaction, COMPLETE_METADATA, &[&id]).await?;
    let tokens = session::begin(&transaction, &id, user_agent(request), surface).await?;
    transaction.commit().await?;
    Ok(tokens)
}

fn check_email(email: &str) -> Result<(), Failure> {
    let is_address = email.split_once('@').is_some_and(|(name, domain)| {
        !name.is_empty() && !domain.is_empty() && !domain.contains('@') && !email.contains(char::is_whitespace)
    });
    if is_address && email.len() <= 255 {
        return Ok(());
    }
    Err(Failure::bad_request("validation_failed", "Unable to validate email address: invalid format"))
}

fn check_password(password: &str) -> Result<(), Failure> {
    if password.is_empty() {
        return Err(Failure::bad_request("validation_failed", "Signup requires a valid password"));
    }
    if password.len() > LONGEST_PASSWORD {
        let message = format!("Password cannot be longer than {LONGEST_PASSWORD} characters");
        return Err(Failure::bad_request("validation_failed", &message));
    }
    if password.chars().count() < SHORTEST_PASSWORD {
        let message = format!("Password should be at least {SHORTEST_PASSWORD} characters.");
        return Err(Failure::weak_password(message, "length"));
    }
    Ok(())
}

fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_address_and_passwords_that_are_too_short_or_too_long() {
        for email in ["", "a", "@b", "a@", "a@b@c", "a b@c.example"] {
            assert!(check_email(email).is_err(), "{email}");
        }
        assert!(check_email("a+b@c.example").is_ok());
        assert!(check_password("").is_err());
        assert!(check_password("12345").is_err());
        assert!(check_password("123456").is_ok());
        assert!(check_password(&"x".repeat(LONGEST_PASSWORD + 1)).is_err());
    }

    #[test]
    fn agrees_with_the_supabase_cli_about_passwords() {
        let config = include_str!("../../../../supabase/config.toml");
        assert!(config.contains(&format!("minimum_password_length = {SHORTEST_PASSWORD}")));
    }
}
