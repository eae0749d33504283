//! A folder with authorities, certificates, keys and lists in it, and listeners built from it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use portreeve_config::{Catalog, ConfigPath, Diagnostics, ListenerTls, load_str};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RevokedCertParams, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::super::Tls;
use crate::compile::Errors;

/// The days from which and until which a certificate is valid.
pub(super) type Days = ((i32, u8, u8), (i32, u8, u8));

pub(super) const LONG: Days = ((2020, 1, 1), (2120, 1, 1));
pub(super) const PAST: Days = ((2019, 1, 1), (2020, 1, 2));
pub(super) const FUTURE: Days = ((2119, 1, 1), (2120, 1, 1));

/// An authority.
pub(super) struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

/// A certificate with its key.
pub(super) struct Leaf {
    pub(super) pem: String,
    pub(super) key: String,
    pub(super) der: CertificateDer<'static>,
    pub(super) serial: SerialNumber,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        Self::made(name, None)
    }

    /// An authority below this one.
    pub(super) fn below(&self, name: &str) -> Self {
        Self::made(name, Some(self))
    }

    fn made(name: &str, above: Option<&Self>) -> Self {
        let mut params = params(&[], name, LONG);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = match above {
            Some(above) => params.signed_by(&key, &above.issuer).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// An ECDSA certificate for these names.
    pub(super) fn leaf(&self, names: &[&str]) -> Leaf {
        self.leaf_of(names, LONG, KeyPair::generate().unwrap())
    }

    pub(super) fn rsa(&self, names: &[&str]) -> Leaf {
        self.leaf_of(names, LONG, KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap())
    }

    pub(super) fn leaf_of(&self, names: &[&str], days: Days, key: KeyPair) -> Leaf {
        let params = params(names, names.first().copied().unwrap_or("nobody"), days);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Leaf {
            pem: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
            serial: params.serial_number.unwrap(),
        }
    }

    /// A list of what this authority has revoked, good until a day.
    pub(super) fn revokes(&self, leaves: &[&Leaf], until: (i32, u8, u8)) -> String {
        let days = date_time_ymd(until.0, until.1, until.2) - date_time_ymd(1970, 1, 1);
        self.revokes_until(leaves, Duration::from_secs(days.whole_seconds().unsigned_abs()))
    }

    /// The same, with its end as the time since 1970.
    pub(super) fn revokes_until(&self, leaves: &[&Leaf], until: Duration) -> String {
        let revoked = leaves.iter().map(|leaf| RevokedCertParams {
            serial_number: leaf.serial.clone(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(1970, 1, 1) + until,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn params(names: &[&str], common: &str, ((y, m, d), (until_y, until_m, until_d)): Days) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::OrganizationName, "Example, Inc");
    params.distinguished_name.push(DnType::CommonName, common);
    params.not_before = date_time_ymd(y, m, d);
    params.not_after = date_time_ymd(until_y, until_m, until_d);
    params.serial_number = Some(SerialNumber::from(fastrand::u64(1 << 62..1 << 63)));
    params
}

/// What building a listener came to.
pub(super) struct Built {
    pub(super) tls: Option<Tls>,
    /// As people read them, without the folder's name.
    pub(super) errors: String,
    pub(super) warnings: String,
}

/// A folder of files.
pub(super) struct Files(TempDir);

impl Files {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), contents).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        self
    }

    /// Writes NAME.crt and NAME.key.
    pub(super) fn leaf(&self, name: &str, leaf: &Leaf) -> &Self {
        self.write(&format!("{name}.crt"), &leaf.pem).write(&format!("{name}.key"), &leaf.key)
    }

    /// Builds a listener whose `tls` section has these lines, each with six spaces before it.
    pub(super) fn build(&self, section: &str, previous: Option<&Tls>) -> Built {
        self.built(section, |config, path, errors| Tls::build(config, path, errors, previous, None))
    }

    fn built(
        &self,
        section: &str,
        build: impl FnOnce(&ListenerTls, &ConfigPath, &mut Errors<'_>) -> Option<Tls>,
    ) -> Built {
        let text = format!("version: 1\nlisteners:\n  - name: public\n    bind: 127.0.0.1:0\n    tls:\n{section}\n");
        let name = self.path("gateway.yaml");
        let loaded = load_str(name.to_str().unwrap(), &text, &Catalog::default(), &|_| None).unwrap();
        let mut errors = Errors::none(&loaded.sources);
        let section = loaded.config.listeners[0].tls.as_ref().unwrap();
        let tls = build(section, &ConfigPath::from("listeners[0].tls"), &mut errors);
        let (errors, warnings) = errors.told();
        assert_eq!(tls.is_none(), !errors.is_empty(), "{errors}");
        let folder = format!("{}/", self.0.path().display());
        let told = |all: &Diagnostics| all.iter().map(|one| format!("{one}\n").replace(&folder, "")).collect();
        Built { tls, errors: told(&errors), warnings: told(&warnings) }
    }

    /// As [`Files::build`], of files that are good.
    #[track_caller]
    pub(super) fn good(&self, section: &str, previous: Option<&Tls>) -> Tls {
        let built = self.build(section, previous);
        assert_eq!(built.warnings, "");
        built.tls.unwrap_or_else(|| panic!("{}", built.errors))
    }
}
