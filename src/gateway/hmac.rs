//! HMAC signatures of tokens by `ring`, the cryptography that TLS uses already.
//!
//! Invariant: only HS256, HS384 and HS512 sign or verify; every other algorithm is refused. Comparison of signatures takes constant time.
//! Deliberately absent: the providers that `jsonwebtoken` brings. One of them compiles a second library of cryptography in C, the other twenty
//! crates for algorithms that no token here may use.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::hmac;
use signature::{Signer, Verifier};

/// Makes `jsonwebtoken` use this module; further calls do nothing. Call it before a token is signed or verified.
pub fn install() {
    static ONCE: Once = Once::new();
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| Ok(Box::new(HmacKey::for_signing(*algorithm, key)?) as Box<dyn JwtSigner>),
        verifier_factory: |algorithm, key| {
            Ok(Box::new(HmacKey::for_verifying(*algorithm, key)?) as Box<dyn JwtVerifier>)
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    // An error means that a provider is installed already, which `Once` leaves to a caller outside of this crate.
    ONCE.call_once(|| _ = PROVIDER.install_default());
}

struct HmacKey {
    algorithm: Algorithm,
    key: hmac::Key,
}

impl HmacKey {
    fn new(algorithm: Algorithm, family: AlgorithmFamily, secret: &[u8]) -> Result<HmacKey> {
        let hash = match algorithm {
            Algorithm::HS256 => hmac::HMAC_SHA256,
            Algorithm::HS384 => hmac::HMAC_SHA384,
            Algorithm::HS512 => hmac::HMAC_SHA512,
            _ => return Err(ErrorKind::InvalidAlgorithm.into()),
        };
        if family != AlgorithmFamily::Hmac {
            return Err(ErrorKind::InvalidKeyFormat.into());
        }
        Ok(HmacKey { algorithm, key: hmac::Key::new(hash, secret) })
    }

    fn for_signing(algorithm: Algorithm, key: &EncodingKey) -> Result<HmacKey> {
        HmacKey::new(algorithm, key.family(), key.as_bytes())
    }

    fn for_verifying(algorithm: Algorithm, key: &DecodingKey) -> Result<HmacKey> {
        HmacKey::new(algorithm, key.family(), key.try_get_as_bytes()?)
    }
}

impl Signer<Vec<u8>> for HmacKey {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.key, message).as_ref().to_vec())
    }
}

impl JwtSigner for HmacKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for HmacKey {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        hmac::verify(&self.key, message, given).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for HmacKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    /// RFC 7515, appendix A.1: the signature that every implementation of HS256 gives.
    #[test]
    fn hs256_gives_the_signature_of_the_standard() {
        install();
        let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let key =
            EncodingKey::from_base64_secret(&format!("{}==", secret.replace('-', "+").replace('_', "/"))).unwrap();
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signed = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        assert_eq!(signed, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn other_algorithms_are_refused() {
        let key = EncodingKey::from_secret(b"a secret");
        for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::PS512] {
            assert!(HmacKey::for_signing(algorithm, &key).is_err(), "{algorithm:?}");
        }
    }
}
