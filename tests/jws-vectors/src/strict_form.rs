//! What may look like a token of ours to one parser or library and not to another.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::{Curve, bigint::Encoding};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::Item;

const HEADER: &str = r#"{"alg":"ES256","kid":"k","typ":"JWT"}"#;
const PAYLOAD: &str = r#"{"sub":"somebody","ok?":"~~~"}"#;
const SECRET: [u8; 32] = [9; 32];
/// RFC 7515, appendix A.2: a modulus of 2048 bits.
const MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

/// Sound ones, and those that differ from a sound one in one thing.
pub(crate) fn items() -> Vec<Item> {
    let sets = [spellings(), headers(), signatures(), keys()];
    sets.into_iter().flatten().collect()
}

fn item(name: &str, keys: Value, jws: impl Into<String>, is_sound: bool) -> Item {
    Item { name: format!("strict form, {name}"), keys, jws: jws.into(), is_sound }
}

fn refused(name: &str, jws: impl Into<String>) -> Item {
    item(name, public_key(), jws, false)
}

fn spellings() -> Vec<Item> {
    let (head, body, signature) = (encode(HEADER), encode(PAYLOAD), encode(sign(HEADER)));
    let token = format!("{head}.{body}.{signature}");
    let standard = STANDARD_NO_PAD.encode(PAYLOAD);
    assert_ne!(standard, body, "the payload shows the difference");
    // A signature of 64 bytes leaves four bits of its last character unused: `A` and `B` stand for the same byte.
    let loose = format!("{}{}", &token[..token.len() - 1], next_in_alphabet(token.as_bytes()[token.len() - 1]));
    let signed_standard = with_signature(&format!("{head}.{standard}"));
    vec![
        item("as it should be", public_key(), &*token, true),
        refused("unused bits", loose),
        refused("padding", format!("{token}==")),
        refused("padding in the middle", format!("{head}=.{body}.{signature}")),
        refused("base64 in place of base64url", signed_standard),
        refused("a space before", format!(" {token}")),
        refused("a newline after", format!("{token}\n")),
        refused("a newline inside", format!("{head}.{body}.\n{signature}")),
        refused("a NUL after", format!("{token}\0")),
        refused("a fourth part", format!("{token}.")),
        refused("two parts", format!("{head}.{body}")),
        refused("no header", format!(".{body}.{signature}")),
        refused("a detached payload", format!("{head}..{signature}")),
        refused("no signature", format!("{head}.{body}.")),
        refused("full-width digits", token.replace(&head[..2], "\u{ff25}\u{ff59}")),
        refused("9 KiB", with_signature(&format!("{head}.{}", "A".repeat(9 * 1024)))),
    ]
}

fn headers() -> Vec<Item> {
    let refused_header = |header: &str| refused(&format!("header {header:.60}"), token(header));
    let mut items: Vec<Item> = [
        r#"{"alg":"ES256","kid":"k","alg":"ES256"}"#,
        r#"{"alg":"none","kid":"k","alg":"ES256"}"#,
        r#"{"alg":"ES256","kid":"k","\u0061lg":"ES256"}"#,
        r#"{"alg":"ES256","kid":"k","kid":"other"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"ES256","kid":""}"#,
        r#"{"alg":"ES256","kid":"other"}"#,
        r#"{"alg":"ES256","kid":["k"]}"#,
        r#"{"alg":"es256","kid":"k"}"#,
        r#"{"alg":"none","kid":"k"}"#,
        r#"{"alg":"ES384","kid":"k"}"#,
        r#"{"alg":"RS256","kid":"k"}"#,
        r#"{"alg":"HS256","kid":"k"}"#,
        r#"{"alg":"ES256","kid":"k","crit":["exp"],"exp":1}"#,
        r#"{"alg":"ES256","kid":"k","b64":true}"#,
        r#"{"alg":"ES256","kid":"k","typ":"logout+jwt"}"#,
        r#"{"alg":"ES256","kid":"k"} {}"#,
        r#"{"alg":"ES256","kid":"k",}"#,
        "{'alg':'ES256','kid':'k'}",
        r#"["ES256","k"]"#,
        "\u{feff}{\"alg\":\"ES256\",\"kid\":\"k\"}",
    ]
    .map(refused_header)
    .into();
    let long = format!(r#"{{"alg":"ES256","kid":"k","x":"{}"}}"#, "x".repeat(1024));
    items.push(refused_header(&long));
    let key = public_key();
    let own_key = format!(r#"{{"alg":"ES256","kid":"k","jwk":{key},"jku":"https://keys.test"}}"#);
    items.push(item("a header with a key of its own, which chooses nothing", key, token(&own_key), true));
    let escaped = r#"{"\u0061lg":"ES256","kid":"\u006b"}"#;
    items.push(item("a header with escapes", public_key(), token(escaped), true));
    items
}

fn signatures() -> Vec<Item> {
    let input = format!("{}.{}", encode(HEADER), encode(PAYLOAD));
    let refused = |name: &str, signature: &[u8]| refused(name, format!("{input}.{}", encode(signature)));
    let sound = Signature::from_slice(&sign(HEADER)).unwrap();
    let (r, s) = sound.split_bytes();
    let order = p256::NistP256::ORDER.to_be_bytes();
    let twin = Signature::from_scalars(r, -*sound.s()).unwrap();
    let confused = r#"{"alg":"HS256","kid":"k"}"#;
    let by_public_key = mac(confused, public_key().to_string().as_bytes());
    let by_secret = mac(r#"{"alg":"HS256","kid":"h"}"#, &SECRET);
    let shortened = by_secret[..by_secret.len() - 2].to_owned();
    vec![
        // Nothing in RFC 7518 refuses it, and no library does.
        item("the other s of the same signature", public_key(), format!("{input}.{}", encode(twin.to_bytes())), true),
        refused("63 bytes", &sound.to_bytes()[..63]),
        refused("65 bytes", &[&sound.to_bytes()[..], &[0]].concat()),
        refused("as DER", sound.to_der().as_bytes()),
        refused("nothing but zeros", &[0; 64]),
        refused("r is zero", &[&[0; 32][..], &s].concat()),
        refused("s is zero", &[&r[..], &[0; 32]].concat()),
        refused("r is the order", &[&order[..], &s].concat()),
        refused("s is the order", &[&r[..], &order].concat()),
        refused("nothing but ones", &[0xff; 64]),
        refused("r and s swapped", &[&s[..], &r].concat()),
        item("a MAC", secret_key(), &*by_secret, true),
        item("a shortened MAC", secret_key(), shortened, false),
        item("a MAC under a public key", public_key(), by_public_key, false),
        item("a signature for a secret", secret_key(), token(r#"{"alg":"ES256","kid":"h"}"#), false),
    ]
}

fn keys() -> Vec<Item> {
    let with = |name: &str, value: Value| {
        let mut key = public_key();
        key[name] = value;
        key
    };
    let x = URL_SAFE_NO_PAD.decode(public_key()["x"].as_str().unwrap()).unwrap();
    let rsa = |n: &str, e: &[u8]| json!({ "kty": "RSA", "kid": "k", "n": n, "e": encode(e) });
    let even = format!("{}A", &MODULUS[..MODULUS.len() - 1]);
    let rs256 = |key: Value, name: &str| {
        let input = format!("{}.{}", encode(r#"{"alg":"RS256","kid":"k"}"#), encode(PAYLOAD));
        item(name, key, format!("{input}.{}", encode([1; 256])), false)
    };
    let by = |name: &str, key: Value| item(name, key, token(HEADER), false);
    vec![
        by("a point that is not on the curve", with("y", json!(encode(&x)))),
        by(
            "a point at zero",
            json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": encode([0; 32]), "y": encode([0; 32])}),
        ),
        by("a coordinate above the field", with("x", json!(encode([0xff; 32])))),
        by("a coordinate with a zero before", with("x", json!(encode([&[0][..], &x].concat())))),
        by("another curve's name", with("crv", json!("P-384"))),
        by("a key to encrypt with", with("use", json!("enc"))),
        by("a key twice", json!({ "keys": [public_key(), public_key()] })),
        rs256(rsa(MODULUS, &[1, 0, 1]), "a wrong RSA signature"),
        rs256(rsa(MODULUS, &[1, 0, 0, 0, 1]), "an exponent above 32 bits"),
        rs256(rsa(MODULUS, &[1]), "an exponent of one"),
        rs256(rsa(&even, &[1, 0, 1]), "an even modulus"),
        rs256(rsa(&MODULUS[..340], &[1, 0, 1]), "a modulus under 2048 bits"),
    ]
}

fn signing_key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

fn public_key() -> Value {
    let point = signing_key().verifying_key().to_encoded_point(false);
    json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": encode(point.x().unwrap()), "y": encode(point.y().unwrap()) })
}

fn secret_key() -> Value {
    json!({ "kty": "oct", "alg": "HS256", "kid": "h", "k": encode(SECRET) })
}

/// A token with this header and a right signature.
fn token(header: &str) -> String {
    with_signature(&format!("{}.{}", encode(header), encode(PAYLOAD)))
}

fn with_signature(input: &str) -> String {
    let signature: Signature = signing_key().sign(input.as_bytes());
    format!("{input}.{}", encode(signature.to_bytes()))
}

/// The signature of the token with this header.
fn sign(header: &str) -> Vec<u8> {
    let signature: Signature = signing_key().sign(format!("{}.{}", encode(header), encode(PAYLOAD)).as_bytes());
    signature.to_bytes().to_vec()
}

/// A token with this header and the MAC under `secret`.
fn mac(header: &str, secret: &[u8]) -> String {
    let input = format!("{}.{}", encode(header), encode(PAYLOAD));
    let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(&input);
    format!("{input}.{}", encode(mac.finalize().into_bytes()))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn next_in_alphabet(character: u8) -> char {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = ALPHABET.iter().position(|other| *other == character).unwrap();
    char::from(ALPHABET[(at + 1) % 64])
}
