use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use platform::{Entropy, Request, Response};
use problem::{Problem, kinds};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use supabase::{ACCEPT_INVITATION, INVITE_MEMBER, LIST_INVITATIONS, REVOKE_INVITATION};
use token::api_key::hex;
use uuid::Uuid;

use crate::user::{User, id};
use crate::{answer, list, no_content, sign_in};

/// What every token begins with, so that people and scanners recognise one.
const PREFIX: &str = "qlp_invite_";
const RANDOM_BYTES: usize = 32;
/// The random bytes in base64url.
const RANDOM_CHARACTERS: usize = 43;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewInvitation {
    email: String,
    role: String,
    expires_in_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acceptance {
    token: InvitationToken,
}

/// The token in an invitation's e-mail: the prefix and 256 random bits.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct InvitationToken(SecretString);

/// Answers a request to `/auth/orgs/{org}/invitations/<path…>`.
pub async fn handle(user: &User, org: Uuid, path: &[&str], request: Request) -> Result<Response, Problem> {
    match (path, request.method()) {
        ([], &Method::GET) => list(user.call(LIST_INVITATIONS, &json!({"org_id": org}), &[]).await?, "invitations"),
        ([], &Method::POST) => invite(user, org, request).await,
        ([invitation], &Method::DELETE) => {
            let _: Value = user.call(REVOKE_INVITATION, &json!({"org_id": org, "id": id(invitation)?}), &[]).await?;
            Ok(no_content())
        }
        _ => Err(kinds::NOT_FOUND.into()),
    }
}

/// Invites an address and shows the token this once; from then on only its digest is known.
async fn invite(user: &User, org: Uuid, request: Request) -> Result<Response, Problem> {
    let NewInvitation { email, role, expires_in_seconds } = sign_in::read(request, user.context()).await?;
    let token = InvitationToken::generate(&*user.context().entropy);
    let payload = json!({
        "org_id": org,
        "email": email,
        "role": role,
        "digest": token.digest(),
        "expires_in_seconds": expires_in_seconds,
    });
    let places = &[("email", "/email"), ("role", "/role"), ("expires_in_seconds", "/expires_in_seconds")];
    let mut invitation: Value = user.call(INVITE_MEMBER, &payload, places).await?;
    if let Some(members) = invitation.as_object_mut() {
        members.insert("token".into(), token.0.expose_secret().into());
    }
    answer(StatusCode::CREATED, &invitation)
}

/// `POST /auth/invitations/accept`: makes the user a member, if the invitation is for their verified address.
pub async fn accept(user: &User, request: Request) -> Result<Response, Problem> {
    let Acceptance { token } = sign_in::read(request, user.context()).await?;
    let payload = json!({"digest": token.digest()});
    let joined: Value = user.call(ACCEPT_INVITATION, &payload, &[("digest", "/token")]).await?;
    answer(StatusCode::OK, &joined)
}

impl InvitationToken {
    fn generate(entropy: &dyn Entropy) -> Self {
        let mut random = Zeroizing::new([0; RANDOM_BYTES]);
        entropy.fill(random.as_mut_slice());
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random.as_slice())).into())
    }

    /// What the database knows of it: SHA-256 in hexadecimal. 256 random bits need no slower digest.
    fn digest(&self) -> String {
        hex(&Sha256::digest(self.0.expose_secret()).into())
    }
}

impl TryFrom<String> for InvitationToken {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let random = text.strip_prefix(PREFIX).unwrap_or_default();
        let is_well_formed = random.len() == RANDOM_CHARACTERS
            && random.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if is_well_formed { Ok(Self(text.into())) } else { Err("a token such as qlp_invite_… was expected") }
    }
}

#[cfg(test)]
mod tests {
    use platform::fakes::SeededEntropy;

    use super::*;

    fn parse(text: &str) -> Result<InvitationToken, serde_json::Error> {
        serde_json::from_value(json!(text))
    }

    #[test]
    fn a_new_token_can_be_used_and_is_unlike_the_last_one() {
        let entropy = SeededEntropy::default();
        let [first, second] = [0; 2].map(|_| InvitationToken::generate(&entropy));
        assert_eq!(parse(first.0.expose_secret()).unwrap().digest(), first.digest());
        assert_ne!(first.digest(), second.digest());
        assert_eq!(first.digest().len(), 64);
    }

    #[test]
    fn the_digest_is_sha_256_of_the_whole_token() {
        let token = parse(&format!("qlp_invite_{}", "A".repeat(43))).unwrap();
        assert_eq!(token.digest(), "78e11218803c0ca18b2dad504cfa8e7f759e400d2ba161c6aa2485ebe491b70c");
    }

    #[test]
    fn what_has_another_form_is_refused_without_repeating_it() {
        let good = format!("qlp_invite_{}", "A".repeat(43));
        for text in ["", "qlp_invite_", &good[1..], &format!("{good}A"), &good.replace("AAAA", "AA+="), "qlp_test_x"] {
            let error = parse(text).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with("a token such as qlp_invite_…") && !error.contains("AAA"), "{error}");
        }
    }
}
