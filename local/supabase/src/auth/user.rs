//! Users, as Supabase Auth shows them.

use serde_json::Value;
use tokio_postgres::GenericClient;
use uuid::Uuid;

use super::failure::Failure;
use super::query;
use crate::access_token::AccessToken;
use crate::surface::Surface;

/// The user of an access token. The session that it names must still exist; one that names none is let in.
pub(super) async fn current(token: &AccessToken, surface: &Surface) -> Result<Value, Failure> {
    const SESSION: &str = "select from auth.sessions where id::text = $1 and user_id::text = $2";
    let client = surface.auth.get().await?;
    let session = token.session_id.as_deref().unwrap_or_default();
    let subject = token.subject.as_deref().unwrap_or_default();
    if session.is_empty() {
        return load(&**client, subject).await;
    }
    if Uuid::try_parse(session).is_err() {
        return Err(Failure::bad_session());
    }
    if query(&**client, SESSION, &[session, subject]).await?.is_empty() {
        return Err(Failure::no_session());
    }
    load(&**client, subject).await
}

/// The user with this id.
pub(super) async fn load(client: &(impl GenericClient + Sync), id: &str) -> Result<Value, Failure> {
    let rows = query(client, include_str!("user.sql"), &[id]).await?;
    let text: &str = rows.first().ok_or_else(Failure::no_session)?.get(0);
    serde_json::from_str(text).map_err(|error| Failure::unexpected("Database error", &error.to_string()))
}
