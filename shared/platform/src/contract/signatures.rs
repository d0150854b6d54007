use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::peer::{Peer, text};
use super::{Verdict, ensure};
use crate::{Context, PrivateKey, PublicKey};

/// RFC 7515 appendix A.3.
mod a3 {
    pub const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    pub const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    pub const D: &str = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";
    pub const MESSAGE: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    pub const SIGNATURE: &str =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
}

/// RFC 7515 appendix A.2.
mod a2 {
    pub const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    pub const MESSAGE: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    pub const SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
}

pub(super) async fn es256(context: Context, _: Peer) -> Verdict {
    let key = PublicKey::Es256 { x: coordinate(a3::X)?, y: coordinate(a3::Y)? };
    accepts_only(&context, &key, a3::MESSAGE, &decode(a3::SIGNATURE)?).await?;
    // The same signature in DER, as other protocols have it, is of the wrong form here.
    let der = [&[0x30, 0x44, 0x02, 0x20], &*decode(a3::SIGNATURE)?].concat();
    refuses(&context, &key, a3::MESSAGE, &der).await?;
    refuses(&context, &key, a3::MESSAGE, &[0; 64]).await
}

pub(super) async fn rs256(context: Context, _: Peer) -> Verdict {
    let key = PublicKey::Rs256 { n: decode(a2::N)?, e: vec![1, 0, 1] };
    accepts_only(&context, &key, a2::MESSAGE, &decode(a2::SIGNATURE)?).await
}

pub(super) async fn an_unusable_key_is_an_error(context: Context, _: Peer) -> Verdict {
    let mut y = coordinate(a3::Y)?;
    y.reverse();
    let off_the_curve = PublicKey::Es256 { x: coordinate(a3::X)?, y };
    let (short, good) = (vec![0xc5; 64], decode(a2::N)?);
    let unusable = [
        (off_the_curve, a3::SIGNATURE),
        (PublicKey::Es256 { x: [0; 32], y: [0; 32] }, a3::SIGNATURE),
        (PublicKey::Rs256 { n: Vec::new(), e: vec![1, 0, 1] }, a2::SIGNATURE),
        (PublicKey::Rs256 { n: short, e: vec![1, 0, 1] }, a2::SIGNATURE),
        (PublicKey::Rs256 { n: good.clone(), e: Vec::new() }, a2::SIGNATURE),
        (PublicKey::Rs256 { n: good, e: vec![1] }, a2::SIGNATURE),
    ];
    for (key, signature) in unusable {
        let verdict = context.signatures.verify(&key, b"message", &decode(signature)?).await;
        ensure(verdict.is_err(), || format!("{key:?} gave {verdict:?}"))?;
    }
    Ok(())
}

pub(super) async fn what_is_signed_can_be_verified(context: Context, _: Peer) -> Verdict {
    let key = PrivateKey::new(coordinate(a3::D)?, coordinate(a3::X)?, coordinate(a3::Y)?);
    for message in [a3::MESSAGE, "", "ü"] {
        // Twice: a host may keep the key that it has read once.
        for _ in 0..2 {
            let signature = context.signer.sign(&key, message.as_bytes()).await.map_err(text)?;
            accepts_only(&context, &key.public(), message, &signature).await?;
        }
    }
    Ok(())
}

pub(super) async fn halves_belong_together(context: Context, _: Peer) -> Verdict {
    let (d, x, y) = (coordinate(a3::D)?, coordinate(a3::X)?, coordinate(a3::Y)?);
    let mut another = d;
    another.reverse();
    let order_and_more = [0xff; 32];
    for (d, x, y) in [(another, x, y), (d, y, x), ([0; 32], x, y), (order_and_more, x, y)] {
        let outcome = context.signer.sign(&PrivateKey::new(d, x, y), b"message").await;
        ensure(outcome.is_err(), || "halves that do not belong together have signed".to_owned())?;
    }
    let good = context.signer.sign(&PrivateKey::new(d, x, y), b"message").await;
    ensure(good.is_ok(), || format!("and then a good key: {good:?}"))
}

async fn accepts_only(context: &Context, key: &PublicKey, message: &str, signature: &[u8]) -> Verdict {
    let good = context.signatures.verify(key, message.as_bytes(), signature).await.map_err(text)?;
    ensure(good, || "a good signature was refused".to_owned())?;
    let (shorter, longer) = (signature.split_last().map(|(_, rest)| rest), [signature, &[0]].concat());
    let mut flipped = signature.to_vec();
    flipped.iter_mut().take(1).for_each(|byte| *byte ^= 1);
    for bad in [&[][..], shorter.unwrap_or_default(), &longer, &flipped] {
        refuses(context, key, message, bad).await?;
    }
    refuses(context, key, "another message", signature).await
}

async fn refuses(context: &Context, key: &PublicKey, message: &str, signature: &[u8]) -> Verdict {
    let verdict = context.signatures.verify(key, message.as_bytes(), signature).await;
    ensure(verdict == Ok(false), || format!("a bad signature of {} bytes gave {verdict:?}", signature.len()))
}

fn coordinate(base64: &str) -> Result<[u8; 32], String> {
    decode(base64)?.try_into().map_err(|_| "a coordinate has 32 bytes".to_owned())
}

fn decode(base64: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(base64).map_err(text)
}
