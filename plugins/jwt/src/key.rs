//! One key that can verify signatures, of a kind fixed when it was read.

use std::fmt;

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{DecodingKey, DecodingKeyKind};

use crate::algorithm::{Algorithm, Algorithms, Kind};

/// RSA moduli in bytes: 2048 bits is the least that RFC 7518 §3.3 allows, 8192 the most that is verified.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A key that can verify signatures.
///
/// There is no way to make one whose algorithms are not of its own kind, so a public key is never taken for a secret.
pub(crate) struct Key {
    kid: Option<Box<str>>,
    kind: Kind,
    algorithms: Algorithms,
    material: Material,
}

/// What signatures are verified with.
enum Material {
    /// Without a key if it is empty.
    Secret { key: Option<DecodingKey>, bytes: usize },
    /// Parsed once for each algorithm of its kind: jsonwebtoken's own verifiers parse a key anew for each token.
    Public(Box<[(Algorithm, ParsedPublicKey)]>),
}

impl Key {
    /// A shared secret. An empty one verifies nothing.
    pub(crate) fn secret(bytes: &[u8]) -> Self {
        let key = DecodingKey::from_secret(bytes).ok();
        Self::new(Kind::Secret, Material::Secret { key, bytes: bytes.len() })
    }

    /// An RSA public key from modulus and exponent, big-endian.
    pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, &'static str> {
        // Some issuers write the sign byte of ASN.1 into the modulus.
        let zeroes = modulus.iter().take_while(|byte| **byte == 0).count();
        let modulus = modulus.get(zeroes..).unwrap_or_default();
        if !RSA_BYTES.contains(&modulus.len()) {
            return Err("an RSA key must have 2048 to 8192 bits");
        }
        let components = RsaPublicKeyComponents { n: modulus, e: exponent };
        let parsed = Kind::Rsa.algorithms().iter().filter_map(|algorithm| {
            let parsed = components.to_parsed_public_key(rsa(algorithm)?);
            Some(parsed.map(|key| (algorithm, key)))
        });
        let parsed: Result<_, _> = parsed.collect();
        Ok(Self::new(Kind::Rsa, Material::Public(parsed.map_err(|_| "not an RSA public key")?)))
    }

    /// A public point on P-256 or P-384: `04`, then both coordinates.
    pub(crate) fn point(kind: Kind, point: &[u8]) -> Result<Self, &'static str> {
        let size = if kind == Kind::P384 { 97 } else { 65 };
        if point.len() != size || point.first() != Some(&4) {
            return Err("the point is not an uncompressed point of its curve");
        }
        let parsed = match kind {
            Kind::P384 => parsed(Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED, point),
            _ => parsed(Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED, point),
        };
        Ok(Self::new(kind, parsed.ok_or("the point is not on its curve")?))
    }

    /// An Ed25519 public key.
    pub(crate) fn ed25519(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() != 32 {
            return Err("an Ed25519 key has 32 bytes");
        }
        let parsed = parsed(Algorithm::EdDsa, &signature::ED25519, bytes);
        Ok(Self::new(Kind::Ed25519, parsed.ok_or("not an Ed25519 key")?))
    }

    /// A public key in PEM: `PUBLIC KEY` (RFC 5280) or `RSA PUBLIC KEY` (RFC 8017).
    pub(crate) fn pem(text: &str) -> Result<Self, &'static str> {
        let label = text.lines().find_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
        match label {
            Some("PUBLIC KEY" | "RSA PUBLIC KEY") => {}
            Some("CERTIFICATE") => return Err("this is a certificate; write its key: openssl x509 -pubkey -noout"),
            Some(label) if label.ends_with("PRIVATE KEY") => {
                return Err(
                    "this is a private key, which has no business here; write the public one: openssl pkey -pubout",
                );
            }
            _ => return Err("not a public key in PEM"),
        }
        if let Ok(material) = DecodingKey::from_rsa_pem(text.as_bytes()) {
            return Self::rsa_der(material);
        }
        if let Ok(material) = DecodingKey::from_ed_pem(text.as_bytes()) {
            return Self::ed25519(bytes(&material));
        }
        match DecodingKey::from_ec_pem(text.as_bytes()) {
            Ok(material) => Self::point(curve(text).ok_or("the curve is neither P-256 nor P-384")?, bytes(&material)),
            Err(_) => Err("not a public key of RSA, P-256, P-384 or Ed25519 in PEM"),
        }
    }

    fn rsa_der(material: DecodingKey) -> Result<Self, &'static str> {
        let read = DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
        let (modulus, exponent) = read(bytes(&material)).map_err(|_| "not an RSA public key of 2048 to 8192 bits")?;
        Self::rsa(&modulus, &exponent)
    }

    fn new(kind: Kind, material: Material) -> Self {
        Self { kid: None, kind, algorithms: kind.algorithms(), material }
    }

    /// Gives it an id.
    #[must_use]
    pub(crate) fn with_kid(mut self, kid: Option<String>) -> Self {
        self.kid = kid.map(String::into_boxed_str);
        self
    }

    /// Allows it fewer algorithms than its kind does.
    #[must_use]
    pub(crate) fn only_for(mut self, algorithms: Algorithms) -> Self {
        self.algorithms = self.algorithms.and(algorithms);
        self
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The algorithms it may be used with.
    pub(crate) fn algorithms(&self) -> Algorithms {
        self.algorithms
    }

    /// Its length in bytes, if it is a secret.
    pub(crate) fn secret_len(&self) -> Option<usize> {
        match &self.material {
            Material::Secret { bytes, .. } => Some(*bytes),
            Material::Public(_) => None,
        }
    }

    /// Whether the holder of this key signed `message`. Never for an algorithm it may not be used with.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &Vec<u8>) -> bool {
        if !self.algorithms.contains(algorithm) {
            return false;
        }
        match &self.material {
            Material::Secret { key, .. } => {
                // The provider is named, not looked up: the process-wide default could be any that another crate installed.
                let verifier = key.as_ref().map(|key| (DEFAULT_PROVIDER.verifier_factory)(&algorithm.jws(), key));
                verifier.is_some_and(|made| made.is_ok_and(|verifier| verifier.verify(message, signature).is_ok()))
            }
            Material::Public(parsed) => {
                let parsed = parsed.iter().find(|(of, _)| *of == algorithm);
                parsed.is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok())
            }
        }
    }
}

/// A public key that has one algorithm; `None` if it is none.
fn parsed(of: Algorithm, algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]) -> Option<Material> {
    let key = ParsedPublicKey::new(algorithm, bytes).ok()?;
    Some(Material::Public(Box::new([(of, key)])))
}

/// How RSA is used by an algorithm, for keys of 2048 to 8192 bits.
fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} for {})", self.kind.name(), self.algorithms)
    }
}

fn bytes(material: &DecodingKey) -> &[u8] {
    match material.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => bytes,
        DecodingKeyKind::RsaModulusExponent { n, .. } => n,
    }
}

/// The curve of an EC key in PEM: the object identifier of RFC 5480 §2.1.1.1 that its DER holds. The size of the point
/// alone would not tell P-256 from other curves of 256 bits.
fn curve(pem: &str) -> Option<Kind> {
    const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
    let body: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body).ok()?;
    let holds = |oid: &[u8]| der.windows(oid.len()).any(|window| window == oid);
    match (holds(P256), holds(P384)) {
        (true, false) => Some(Kind::P256),
        (false, true) => Some(Kind::P384),
        _ => None,
    }
}
