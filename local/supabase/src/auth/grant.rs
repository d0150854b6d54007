//! `POST /auth/v1/token`: the password grant and the refresh grant.

use serde::Deserialize;
use serde_json::Value;

use super::failure::Failure;
use super::{body, parameter, query, session, user_agent};
use crate::answer::Request;
use crate::surface::Surface;

/// How long a refresh token that has been used may be used again, by a tab that did not see the answer; as in
/// `supabase/config.toml`.
const REUSE_INTERVAL: i64 = 10;
/// Compares with the hash of no password where there is no account, so that both answers take the same time.
const CHECK_PASSWORD: &str = "
    select account.id::text, account.is_banned,
           coalesce(extensions.crypt($2, coalesce(
             account.encrypted_password, '$2a$08$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu'
           )) = account.encrypted_password, false)
    from (values (1)) one
    left join lateral (
      select id, encrypted_password, coalesce(banned_until > to_timestamp($3::text::bigint), false) as is_banned
      from auth.users
      where email = $1 and not is_sso_user and deleted_at is null
    ) account on true";
const FIND: &str = "
    select token.user_id::text, token.session_id::text, token.revoked,
           extract(epoch from token.updated_at)::bigint,
           coalesce(account.banned_until > to_timestamp($2::text::bigint), false)
    from auth.refresh_tokens token
    join auth.sessions session on session.id = token.session_id
    join auth.users account on account.id = session.user_id and account.deleted_at is null
    where token.token = $1
    for update of token, session";
/// The newest token of the session, if it was given out for this one: its answer may have been lost.
const FIND_SUCCESSOR: &str = "
    select token from (
      select token, parent from auth.refresh_tokens
      where session_id = $1::text::uuid and not revoked
      order by id desc limit 1
    ) newest
    where parent = $2";
/// Long ago, so that the tolerance for tabs does not apply.
const REVOKE_FAMILY: &str = "
    update auth.refresh_tokens set revoked = true, updated_at = to_timestamp(0) where session_id = $1::text::uuid";
const REVOKE: &str = "
    update auth.refresh_tokens set revoked = true, updated_at = to_timestamp($2::text::bigint)
    where token = $1 and not revoked";

/// Answers by `grant_type`.
pub(super) async fn token(request: &Request, surface: &Surface) -> Result<Value, Failure> {
    match parameter(request, "grant_type").as_deref() {
        Some("password") => password(request, surface).await,
        Some("refresh_token") => refresh(request, surface).await,
        _ => Err(Failure::bad_request("invalid_credentials", "unsupported_grant_type")),
    }
}

async fn password(request: &Request, surface: &Surface) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    struct Credentials {
        #[serde(default)]
        email: String,
        #[serde(default)]
        password: String,
    }
    let Credentials { email, password } = body(request)?;
    if email.is_empty() {
        return Err(Failure::bad_request("validation_failed", "missing email or phone"));
    }
    let email = email.trim().to_lowercase();
    let mut client = surface.auth.get().await?;
    let rows = query(&**client, CHECK_PASSWORD, &[&email, &password, &surface.now().to_string()]).await?;
    let (id, is_banned) = match rows.first() {
        Some(row) if row.get(2) => (row.get::<_, String>(0), row.get(1)),
        _ => return Err(Failure::bad_request("invalid_credentials", "Invalid login credentials")),
    };
    if is_banned {
        return Err(Failure::bad_request("user_banned", "User is banned"));
    }
    let transaction = client.transaction().await?;
    let tokens = session::begin(&transaction, &id, user_agent(request), surface).await?;
    transaction.commit().await?;
    Ok(tokens)
}

async fn refresh(request: &Request, surface: &Surface) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    struct Refresh {
        #[serde(default)]
        refresh_token: String,
    }
    let presented = body::<Refresh>(request)?.refresh_token;
    let now = surface.now();
    let mut client = surface.auth.get().await?;
    let transaction = client.transaction().await?;
    let found = query(&*transaction, FIND, &[&presented, &now.to_string()]).await?;
    let Some(found) = found.first() else {
        let message = "Invalid Refresh Token: Refresh Token Not Found";
        return Err(Failure::bad_request("refresh_token_not_found", message));
    };
    let (user, session, is_revoked, used_at): (String, String, bool, i64) =
        (found.get(0), found.get(1), found.get(2), found.get(3));
    if found.get(4) {
        return Err(Failure::bad_request("user_banned", "Invalid Refresh Token: User Banned"));
    }

    let successor = query(&*transaction, FIND_SUCCESSOR, &[&session, &presented]).await?;
    let successor: Option<String> = successor.first().filter(|_| is_revoked).map(|row| row.get(0));
    if is_revoked && successor.is_none() && now > used_at + REUSE_INTERVAL {
        query(&*transaction, REVOKE_FAMILY, &[&session]).await?;
        transaction.commit().await?;
        return Err(Failure::bad_request("refresh_token_already_used", "Invalid Refresh Token: Already Used"));
    }
    let next = if let Some(successor) = successor {
        successor
    } else {
        query(&*transaction, REVOKE, &[&presented, &now.to_string()]).await?;
        session::add_refresh_token(&transaction, &user, &session, &presented, surface).await?
    };
    let tokens = session::tokens(&transaction, &user, &session, next, "token_refresh", surface).await?;
    transaction.commit().await?;
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_supabase_cli_about_reuse() {
        let config = include_str!("../../../../supabase/config.toml");
        assert!(config.contains(&format!("refresh_token_reuse_interval = {REUSE_INTERVAL}")));
    }
}
