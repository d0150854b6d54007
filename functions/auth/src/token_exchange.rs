use std::borrow::Cow;
use std::sync::Arc;

use audit::Origin;
use http::StatusCode;
use platform::{Context, Request, Response};
use problem::{Problem, kinds};
use secrecy::ExposeSecret as _;
use serde_json::json;
use token::{Actor, ExchangeError, Principal, Refusal, Sent, TokenType, Wish};
use url::form_urlencoded;

use crate::{Auth, LIMITS, answer, events};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The most scopes that can be asked for; there are not even as many.
const MAX_SCOPES: usize = 32;

/// The parameters of RFC 8693 section 2.1 that are read; others are ignored, as RFC 6749 section 3.2 demands.
#[derive(Default)]
struct Form<'a> {
    grant_type: Option<Cow<'a, str>>,
    subject_token: Option<Cow<'a, str>>,
    subject_token_type: Option<Cow<'a, str>>,
    actor_token: Option<Cow<'a, str>>,
    actor_token_type: Option<Cow<'a, str>>,
    requested_token_type: Option<Cow<'a, str>>,
    audience: Option<Cow<'a, str>>,
    resource: Option<Cow<'a, str>>,
    scope: Option<Cow<'a, str>>,
    /// A client's own secret, which nobody here knows.
    client_secret: Option<Cow<'a, str>>,
    client_assertion: Option<Cow<'a, str>>,
}

/// One request, and who answers it.
struct Exchange<'a> {
    auth: &'a Auth,
    sent: Sent<'a>,
    origin: Origin,
    context: &'a Context,
}

/// `POST /auth/token`: a short-lived token for the subject of another (RFC 8693).
pub async fn exchange(auth: &Auth, request: Request, context: &Context) -> Result<Response, Problem> {
    let (origin, (parts, body)) = (Origin::of(&request), request.into_parts());
    let body = json_body::read_form(&parts.headers, body, LIMITS, &*context.clock).await?;
    let form = Form::parse(&body)?;
    match form.grant_type.as_deref() {
        Some(GRANT_TYPE) => (),
        Some(_) => return Err(Problem::new(kinds::UNSUPPORTED_GRANT_TYPE).detail(format!("Use {GRANT_TYPE}."))),
        None => return Err(invalid("grant_type is missing.")),
    }
    let exchange = Exchange { auth, sent: Sent::of(&parts), origin, context };
    exchange.check_client(&form).await?;
    let issued_type = issued_type(form.requested_token_type.as_deref())?;
    let wish = Wish { scopes: scopes(&form)?, audience: audience(&form)?, actor: None };
    let subject = exchange.subject(&form).await?;
    let wish = Wish { actor: exchange.actor(&form).await?, ..wish };
    let issued = auth.authenticator.exchange(&subject, &wish, context).await;
    let issued = issued.inspect_err(|error| exchange.note_denial(&subject, error)).map_err(refused)?;
    let body = json!({
        "access_token": issued.token.expose_secret(),
        "issued_token_type": issued_type.urn(),
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": issued.scopes.join(" "),
    });
    answer(StatusCode::OK, &body)
}

impl<'a> Form<'a> {
    /// A parameter without a value counts as left out, and one that is there twice is a fault.
    fn parse(body: &'a [u8]) -> Result<Self, Problem> {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            let Some(place) = form.place(&name) else { continue };
            if value.is_empty() {
                continue;
            }
            if place.replace(value).is_some() {
                // Of audiences and resources RFC 8693 allows several: a token for all of them is none that we issue.
                return Err(match &*name {
                    "audience" | "resource" => kinds::INVALID_TARGET.into(),
                    _ => invalid("A parameter is there twice: send it once."),
                });
            }
        }
        Ok(form)
    }

    fn place(&mut self, name: &str) -> Option<&mut Option<Cow<'a, str>>> {
        Some(match name {
            "grant_type" => &mut self.grant_type,
            "subject_token" => &mut self.subject_token,
            "subject_token_type" => &mut self.subject_token_type,
            "actor_token" => &mut self.actor_token,
            "actor_token_type" => &mut self.actor_token_type,
            "requested_token_type" => &mut self.requested_token_type,
            "audience" => &mut self.audience,
            "resource" => &mut self.resource,
            "scope" => &mut self.scope,
            "client_secret" => &mut self.client_secret,
            "client_assertion" => &mut self.client_assertion,
            _ => return None,
        })
    }
}

impl Exchange<'_> {
    /// Nobody has to authenticate as a client, but who does must be right: a bad credential never counts as none.
    async fn check_client(&self, form: &Form<'_>) -> Result<(), Problem> {
        if form.client_secret.is_some() || form.client_assertion.is_some() {
            return Err(Problem::new(kinds::CREDENTIAL_INVALID).detail("This edge knows no client secrets."));
        }
        match self.auth.authenticate(self.sent, self.origin.clone(), self.context).await {
            Ok(_) | Err(Refusal::Missing) => Ok(()),
            Err(refusal) => Err(refusal.into()),
        }
    }

    async fn subject(&self, form: &Form<'_>) -> Result<Arc<Principal>, Problem> {
        let (token, kind) = subject(form)?;
        let subject = self.auth.authenticator.subject(token, kind, self.sent.address, self.context).await;
        subject.map_err(|refusal| self.unacceptable("subject_token", token, refusal))
    }

    async fn actor(&self, form: &Form<'_>) -> Result<Option<Actor>, Problem> {
        let Some((token, kind)) = actor(form)? else { return Ok(None) };
        let actor = self.auth.authenticator.actor(token, kind, self.sent.address, self.context).await;
        actor.map(Some).map_err(|refusal| self.unacceptable("actor_token", token, refusal))
    }

    /// RFC 8693 section 2.2.2: a subject or actor token that is not valid is an `invalid_request`. It is recorded.
    fn unacceptable(&self, parameter: &'static str, token: &str, refusal: Refusal) -> Problem {
        let (recorder, origin) = (&self.auth.recorder, self.origin.clone());
        recorder.record_refused_parameter(&refusal, (parameter, token), origin, self.context);
        match refusal {
            Refusal::Unavailable { .. } | Refusal::TooManyAttempts { .. } => refusal.into(),
            _ => invalid(&format!("{parameter} is not valid.")),
        }
    }

    /// Records that a subject asked for more than it has.
    fn note_denial(&self, subject: &Principal, error: &ExchangeError) {
        if !matches!(error, ExchangeError::Expired | ExchangeError::NotConfigured | ExchangeError::Host(_)) {
            events::exchange_denied(&self.auth.recorder, self.origin.clone(), subject, error, self.context);
        }
    }
}

fn issued_type(requested: Option<&str>) -> Result<TokenType, Problem> {
    match requested.map(TokenType::named) {
        None => Ok(TokenType::AccessToken),
        Some(Some(kind @ (TokenType::AccessToken | TokenType::Jwt))) => Ok(kind),
        Some(_) => Err(invalid("requested_token_type must be that of an access token or a JWT.")),
    }
}

fn scopes(form: &Form<'_>) -> Result<Option<Vec<String>>, Problem> {
    let Some(text) = &form.scope else { return Ok(None) };
    let scopes: Vec<_> = text.split(' ').map(str::to_owned).take(MAX_SCOPES + 1).collect();
    if scopes.len() > MAX_SCOPES { Err(kinds::INVALID_SCOPE.into()) } else { Ok(Some(scopes)) }
}

/// Services are known by their names, so that no resource is.
fn audience(form: &Form<'_>) -> Result<Option<String>, Problem> {
    match form.resource {
        Some(_) => Err(Problem::new(kinds::INVALID_TARGET).detail("No resource is known here: name an audience.")),
        None => Ok(form.audience.as_deref().map(str::to_owned)),
    }
}

fn subject<'a>(form: &'a Form<'_>) -> Result<(&'a str, TokenType), Problem> {
    let token = form.subject_token.as_deref().ok_or_else(|| invalid("subject_token is missing."))?;
    let kind = form.subject_token_type.as_deref().ok_or_else(|| invalid("subject_token_type is missing."))?;
    let kind =
        TokenType::named(kind).ok_or_else(|| invalid("subject_token_type is not one that is exchanged here."))?;
    Ok((token, kind))
}

fn actor<'a>(form: &'a Form<'_>) -> Result<Option<(&'a str, TokenType)>, Problem> {
    let (token, kind) = match (form.actor_token.as_deref(), form.actor_token_type.as_deref()) {
        (None, None) => return Ok(None),
        (Some(token), Some(kind)) => (token, kind),
        _ => return Err(invalid("actor_token and actor_token_type go together.")),
    };
    let kind = TokenType::named(kind).ok_or_else(|| invalid("actor_token_type is not one that is accepted here."))?;
    Ok(Some((token, kind)))
}

fn refused(error: ExchangeError) -> Problem {
    match error {
        ExchangeError::UnknownAudience => kinds::INVALID_TARGET.into(),
        ExchangeError::ScopeNotHeld => kinds::INVALID_SCOPE.into(),
        ExchangeError::Expired => invalid("subject_token is not valid."),
        ExchangeError::NoSecondFactor => {
            invalid("The organization requires that the subject signs in with a second factor.")
        }
        ExchangeError::TooManyActors => invalid("Too many act for one another already: at most two."),
        ExchangeError::NotConfigured => {
            tracing::error!("tokens cannot be exchanged: neither SUPABASE_JWT_SECRET nor EDGE_SIGNING_KEYS is set");
            kinds::MISCONFIGURED.into()
        }
        ExchangeError::Host(error) => {
            tracing::error!(%error, "a token could not be signed");
            kinds::INTERNAL.into()
        }
    }
}

fn invalid(detail: &str) -> Problem {
    Problem::new(kinds::INVALID_REQUEST).detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(body: &str) -> &'static str {
        Form::parse(body.as_bytes()).err().map_or("read", |problem| problem.kind().slug)
    }

    #[test]
    fn a_parameter_is_sent_once_and_an_unknown_one_is_ignored() {
        assert_eq!(kind("grant_type=a&grant_type=a"), "invalid-request");
        assert_eq!(kind("subject_token=a&subject_token=b"), "invalid-request");
        assert_eq!(kind("audience=a&audience=b"), "invalid-target");
        assert_eq!(kind("resource=a&resource=b"), "invalid-target");
        assert_eq!(kind("x=1&x=2&client_id=c&grant_type=a"), "read");
        let form = Form::parse(b"grant_type=&scope=llm+usage%3Aread&audience=").ok().unwrap();
        assert!(form.grant_type.is_none() && form.audience.is_none());
        assert_eq!(scopes(&form).ok().flatten().unwrap(), ["llm", "usage:read"]);
    }

    #[test]
    fn only_what_is_issued_can_be_requested() {
        for (requested, expected) in [
            (None, Some(TokenType::AccessToken)),
            (Some("urn:ietf:params:oauth:token-type:jwt"), Some(TokenType::Jwt)),
            (Some("urn:ietf:params:oauth:token-type:refresh_token"), None),
            (Some("urn:qlp:params:oauth:token-type:api-key"), None),
        ] {
            assert_eq!(issued_type(requested).ok(), expected, "{requested:?}");
        }
    }
}
