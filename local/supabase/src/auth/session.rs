//! Sessions: begun by a sign-in, continued by refresh tokens, ended by a sign-out.

use std::sync::PoisonError;

use serde_json::{Value, json};
use tokio_postgres::{Client, Transaction};

use super::failure::Failure;
use super::{parameter, query, user};
use crate::access_token::AccessToken;
use crate::answer::Request;
use crate::signing::random_uuid;
use crate::state::random_text;
use crate::surface::Surface;

/// Seconds; as in `supabase/config.toml`.
const TOKEN_LIFE: i64 = 3_600;
/// Claims that a token hook may change but not leave out.
const REQUIRED_CLAIMS: [&str; 10] =
    ["aud", "exp", "iat", "sub", "email", "phone", "role", "aal", "session_id", "is_anonymous"];
const INSERT: &str = "
    insert into auth.sessions (id, user_id, created_at, updated_at, user_agent)
    select $1::text::uuid, $2::text::uuid, at, at, $3 from (select to_timestamp($4::text::bigint) as at) clock";
const NOTE_SIGN_IN: &str = "
    update auth.users set last_sign_in_at = to_timestamp($2::text::bigint) where id = $1::text::uuid";
const INSERT_REFRESH_TOKEN: &str = "
    insert into auth.refresh_tokens (token, user_id, session_id, parent, revoked, created_at, updated_at)
    select $1, $2, $3::text::uuid, nullif($4, ''), false, at, at
    from (select to_timestamp($5::text::bigint) as at) clock";
/// A session at `aal2` is one that a test has raised: there are no second factors here.
const SIGNED_IN: &str =
    "select extract(epoch from created_at)::bigint, aal::text from auth.sessions where id = $1::text::uuid";

/// Whether the project has a function that changes access tokens.
pub(crate) async fn has_token_hook(client: &Client) -> Result<bool, tokio_postgres::Error> {
    const FIND: &str = "select to_regprocedure('public.custom_access_token_hook(jsonb)') is not null";
    Ok(query(client, FIND, &[]).await?.first().is_some_and(|row| row.get(0)))
}

/// A new session of a user, with its first tokens.
pub(super) async fn begin(
    transaction: &Transaction<'_>,
    user: &str,
    user_agent: Option<&str>,
    surface: &Surface,
) -> Result<Value, Failure> {
    let (session, now) = (random_uuid().to_string(), surface.now().to_string());
    query(transaction, INSERT, &[&session, user, user_agent.unwrap_or_default(), &now]).await?;
    query(transaction, NOTE_SIGN_IN, &[user, &now]).await?;
    let refresh_token = add_refresh_token(transaction, user, &session, "", surface).await?;
    tokens(transaction, user, &session, refresh_token, "password", surface).await
}

/// A refresh token of a session, given out for `parent` (or for nothing).
pub(super) async fn add_refresh_token(
    transaction: &Transaction<'_>,
    user: &str,
    session: &str,
    parent: &str,
    surface: &Surface,
) -> Result<String, Failure> {
    let token = random_text::<16>();
    query(transaction, INSERT_REFRESH_TOKEN, &[&token, user, session, parent, &surface.now().to_string()]).await?;
    Ok(token)
}

/// What a sign-in or a refresh is answered with: a new access token beside `refresh_token`.
pub(super) async fn tokens(
    transaction: &Transaction<'_>,
    user: &str,
    session: &str,
    refresh_token: String,
    reason: &str,
    surface: &Surface,
) -> Result<Value, Failure> {
    let user = user::load(transaction, user).await?;
    let signed_in = query(transaction, SIGNED_IN, &[session]).await?;
    let (begun_at, aal): (i64, String) =
        signed_in.first().map_or_else(|| (0, "aal1".to_owned()), |row| (row.get(0), row.get(1)));
    let now = surface.now();
    let of_user = |name: &str| user.get(name);
    let claims = json!({
        "iss": surface.description.issuer, "sub": of_user("id"), "aud": of_user("aud"), "exp": now + TOKEN_LIFE, "iat": now,
        "email": of_user("email"), "phone": of_user("phone"), "app_metadata": of_user("app_metadata"),
        "user_metadata": of_user("user_metadata"), "role": of_user("role"), "aal": aal,
        "amr": [{ "method": "password", "timestamp": begun_at }], "session_id": session,
        "is_anonymous": of_user("is_anonymous"),
    });
    let claims = if surface.has_token_hook { through_hook(transaction, claims, reason).await? } else { claims };
    let access_token = surface.signing_keys.read().unwrap_or_else(PoisonError::into_inner).sign(&claims);
    Ok(json!({
        "access_token": access_token, "token_type": "bearer", "expires_in": TOKEN_LIFE, "expires_at": now + TOKEN_LIFE,
        "refresh_token": refresh_token, "user": user,
    }))
}

/// Lets the project's own function change the claims.
async fn through_hook(transaction: &Transaction<'_>, claims: Value, reason: &str) -> Result<Value, Failure> {
    const CALL: &str = "select public.custom_access_token_hook($1::text::jsonb)::text";
    let event = json!({ "user_id": claims.get("sub"), "claims": claims, "authentication_method": reason }).to_string();
    let rows = query(transaction, CALL, &[&event]).await.map_err(|error| {
        Failure::unexpected("Error running the custom access token hook", &format!("{:?}", error.as_db_error()))
    })?;
    let answer = rows.first().and_then(|row| row.get::<_, Option<String>>(0)).unwrap_or_default();
    let mut answer: Value = serde_json::from_str(&answer).unwrap_or_default();
    if let Some(message) = answer.pointer("/error/message").and_then(Value::as_str) {
        return Err(Failure::unexpected(message, "the custom access token hook refused"));
    }
    let claims = answer.get_mut("claims").map(Value::take).unwrap_or_default();
    if let Some(missing) = REQUIRED_CLAIMS.iter().find(|name| claims.get(**name).is_none()) {
        let message = "output claims do not conform to the expected schema";
        return Err(Failure::unexpected(message, &format!("the custom access token hook left out {missing}")));
    }
    Ok(claims)
}

/// `POST /auth/v1/logout`: ends this session, the others, or (unless told otherwise) all.
pub(super) async fn end(request: &Request, token: &AccessToken, surface: &Surface) -> Result<(), Failure> {
    const ALL: &str = "delete from auth.sessions where user_id::text = $1";
    const THIS: &str = "delete from auth.sessions where user_id::text = $1 and id::text = $2";
    const OTHERS: &str = "delete from auth.sessions where user_id::text = $1 and id::text <> $2";
    let client = surface.auth.get().await?;
    let user = token.subject.as_deref().unwrap_or_default();
    let session = token.session_id.as_deref().unwrap_or_default();
    match parameter(request, "scope").as_deref() {
        None | Some("global") => query(&**client, ALL, &[user]).await?,
        Some("local") => query(&**client, THIS, &[user, session]).await?,
        Some("others") => query(&**client, OTHERS, &[user, session]).await?,
        Some(_) => return Err(Failure::bad_request("validation_failed", "Unsupported logout scope")),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_supabase_cli_about_the_life_of_a_token() {
        let config = include_str!("../../../../supabase/config.toml");
        assert!(config.contains(&format!("jwt_expiry = {TOKEN_LIFE}\n")));
    }
}
